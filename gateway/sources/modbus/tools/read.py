"""One test read, as configured or by address, with every sensible decoding side by side."""

import struct
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from gateway.core.errors import GatewayError, Permanent, UsageError
from gateway.core.ports.device_tools import Options
from gateway.core.quality import REASONS
from gateway.core.report import Item, Note, Part, Report, Styled, Table
from gateway.sources.modbus.address import resolve
from gateway.sources.modbus.config import ModbusDevice
from gateway.sources.modbus.decode import Decoder
from gateway.sources.modbus.endpoint import Endpoint
from gateway.sources.modbus.link import ExceptionReply, NoReply
from gateway.sources.modbus.plan import Request, Span, plan_device
from gateway.sources.modbus.tag import ModbusTag
from gateway.sources.modbus.tools.register_views import ORDERS, hardly_meant, shortest, strings, views
from gateway.sources.modbus.tools.request import Place, request_places
from gateway.sources.modbus.types import REGISTERS, ValueType, is_bits

_TIMEOUT_S: Final = 1.0
_MOST_BITS: Final = 2000  # MODBUS Application Protocol 1.1b3, 6.1
_MOST_REGISTERS: Final = 125  # 6.3
_PLACES: Final = 65536
_GOOD: Final = 0xC0
_WIDE: Final = 4  # registers of a 64-bit value
_MOST_SILENT: Final = 8  # tags in a row, none of them answered: then the others are not asked
_ABREAST: Final = 3  # of them fit into 80 columns


async def read_url(url: str, options: Options) -> Report:
    """Read by address: raw words, bits and decodings. Raises ValidationError, UsageError, GatewayError."""
    unit, count, timeout_s = options["unit"], options["count"], options["timeout"]
    device = ModbusDevice.model_validate({"name": "read", "url": url, "unit": unit})
    tag = ModbusTag.model_validate({"name": "read", "address": options["address"]})
    table, start = resolve(tag.address)
    most = _MOST_BITS if is_bits(table) else _MOST_REGISTERS
    if not 1 <= count <= most or start + count > _PLACES:
        raise UsageError(f"{count} from {start}: expected 1 to {most} places up to address {_PLACES - 1}")
    place = Place(unit, table, start, count, _TIMEOUT_S if timeout_s is None else timeout_s)
    try:
        (payload,) = (await request_places([device.endpoint], [place])).payloads
    except GatewayError as error:
        what = f"{table}:{start}..{start + count - 1} of unit {unit} at {device.url}"
        advice = {
            NoReply: f"; gateway scan {url} finds units",
            ExceptionReply: "; one refused address refuses them all: ask for fewer with --count" if count > 1 else "",
        }.get(type(error), "")
        raise Permanent(f"{what}: {error}{advice}") from None
    assert isinstance(payload, bytes)  # without keep_going a failure is raised
    head: Item = Styled(f"{table}:{start}", "strong"), f", {count} of unit {unit} at {device.url}\n"
    if is_bits(table):
        return Report([head, *_bits(place, payload)])
    return Report([head, *_words(place, [word for (word,) in struct.iter_unpack(">H", payload)])])


async def read_tags(device: ModbusDevice, tags: Sequence[ModbusTag], timeout_s: float | None) -> Report:
    """Read tags of a configured device as `run` asks for them, then one by one where that fails. Raises GatewayError."""
    seconds = device.timeout / 1e9 if timeout_s is None else timeout_s
    requests = [request for _, request in plan_device(device, tags)]
    answers = await request_places(device.endpoints, [_place(device, one, seconds) for one in requests], keep_going=True)
    backup = f"; asking the backup {answers.endpoint.address}"
    notes = [Note((Styled(reason, "warning"), backup)) for reason in answers.unused]
    rows: dict[int, _Row] = {}
    failed: list[Request] = []
    for request, payload in zip(requests, answers.payloads, strict=True):
        if isinstance(payload, GatewayError) and len(request.spans) > 1 and not device.requests:
            failed.append(request)
            notes.append(_failed_note(request, payload))
        else:
            rows |= _tag_rows(device, tags, request, payload)
    rows |= await _read_apart(device, tags, failed, (answers.endpoint, seconds))
    headings = ("tag", "address", "type", "raw", "value", "quality")
    title = f"{device.name}: unit {device.unit} at {answers.endpoint.url}"
    ends = [row.cells[-1] for row in rows.values()]
    is_complete = all(isinstance(end, str) or end.style != "bad" for end in ends)
    table = Table(headings, [rows[row].cells for row in sorted(rows)], title=title)
    numbers = {tags[place].name: row.number for place, row in rows.items() if row.number is not None}
    return Report([*notes, table], is_complete, numbers)


async def _read_apart(
    device: ModbusDevice, tags: Sequence[ModbusTag], requests: Sequence[Request], where: tuple[Endpoint, float]
) -> dict[int, "_Row"]:
    """Return the rows of the tags of requests that failed, each read by itself."""
    singles = [Request.of(one.table, (span,), one.octets) for one in requests for span in one.spans]
    if not singles:
        return {}
    endpoint, seconds = where
    places = [_place(device, single, seconds) for single in singles]
    answers = await request_places([endpoint], places, keep_going=True, most_silent=_MOST_SILENT)
    rows: dict[int, _Row] = {}
    for single, payload in zip(singles, answers.payloads, strict=True):
        rows |= _tag_rows(device, tags, single, payload)
    return rows


def _place(device: ModbusDevice, request: Request, timeout_s: float) -> Place:
    return Place(device.unit, request.table, request.start, request.count, timeout_s, request.octets)


def _failed_note(request: Request, error: GatewayError) -> Note:
    last = request.start + request.count - 1
    what = f"{request.table}:{request.start}..{last} in one request, as gateway run asks: "
    return Note((what, Styled(str(error), "warning"), f"; its {len(request.spans)} tags one by one:"))


class _Row(NamedTuple):
    """A line of the table, and the sample that it shows where that is a number."""

    cells: Sequence[Part]
    number: tuple[float, int] | None


def _tag_rows(
    device: ModbusDevice, tags: Sequence[ModbusTag], request: Request, payload: bytes | GatewayError
) -> dict[int, _Row]:
    """Return the line of each tag of a request, by its place among the device's tags."""
    if isinstance(payload, GatewayError):
        bad = Styled(str(payload), "bad")
        return {
            row: _Row((tags[row].name, f"{tags[row].table}:{tags[row].start}", tags[row].value_type, "", "", bad), None)
            for row in request.rows
        }
    decode = Decoder(request, tags, device.byte_order)
    found = decode(payload)
    numbers = {
        int(row): (found.value[at], int(found.quality[at])) for at, row in enumerate(decode.numeric)
    }  # by place in the request
    objects = {row: (value, code) for row, value, code in found.objects}
    rows: dict[int, _Row] = {}
    for at, span in enumerate(request.spans):
        tag = tags[span.row]
        values = [f"{_number(tag, numbers[at][0])} {tag.unit}".strip()] if at in numbers else []
        values += [repr(objects[at][0])] if at in objects else []
        code = numbers[at][1] if at in numbers else objects[at][1]
        quality: Part = "good" if code >= _GOOD else Styled(REASONS[code], "warning")
        raw = "" if is_bits(request.table) else _raw(payload, request, span)
        cells = tag.name, f"{tag.table}:{tag.start}", tag.value_type, raw, "  ".join(values), quality
        rows[span.row] = _Row(cells, numbers.get(at))
    return rows


def _raw(payload: bytes, request: Request, span: Span) -> str:
    begin = request.octets * (span.start - request.start)
    return payload[begin : begin + request.octets * span.count].hex(" ", 2)


def _number(tag: ModbusTag, value: float) -> str:
    plain = tag.value_type == "float32" and (tag.scale, tag.offset) == (1, 0)
    return shortest("float32", value) if plain else f"{value:.15g}"


def _bits(place: Place, payload: bytes) -> Iterator[str]:
    bits = [payload[at // 8] >> at % 8 & 1 for at in range(place.count)]
    for begin in range(0, place.count, 16):
        row = " ".join(map(str, bits[begin : begin + 16]))
        yield f"  {place.table}:{place.start + begin:<6} {row}"


def _words(place: Place, words: Sequence[int]) -> Iterator[Item]:
    yield _raw_table(place, words)
    decoded = [(kind, {order: _shown(kind, text) for order, text in texts.items()}) for kind, texts in views(words)]
    narrow = [(kind, *(texts.get(order, "") for order in ORDERS)) for kind, texts in decoded if REGISTERS[kind] < _WIDE]
    title = f"\nfrom {place.table}:{place.start} on, by byte_order"
    yield Table(("type", *ORDERS), narrow, numeric=ORDERS, title=title)
    wide = [(kind, texts) for kind, texts in decoded if REGISTERS[kind] == _WIDE and any(texts.values())]
    for some in filter(None, (wide[:_ABREAST], wide[_ABREAST:])):
        kinds = [kind for kind, _ in some]
        yield ""
        yield Table(("", *kinds), [(order, *(texts[order] for _, texts in some)) for order in ORDERS], numeric=kinds)
    if any(isinstance(text, Styled) for _, texts in decoded for text in texts.values()):
        yield Styled("\nin parentheses: numbers that are hardly meant; another type or byte_order is", "faint")
    for order, text in strings(words).items():
        yield f"  string, byte_order {order}: {text}"


def _raw_table(place: Place, words: Sequence[int]) -> Table:
    rows = []
    for at, word in enumerate(words):
        bits = f"{word:016b}"
        grouped = " ".join(bits[i : i + 4] for i in range(0, 16, 4))
        rows.append((f"{place.table}:{place.start + at}", f"0x{word:04X}", grouped, str(word >> 8), str(word & 0xFF)))
    headings = ("address", "hex", "bits", "high byte", "low byte")
    return Table(headings, rows, numeric=headings)


def _shown(kind: ValueType, text: str) -> Part:
    return Styled(f"({text})", "faint") if hardly_meant(kind, text) else text
