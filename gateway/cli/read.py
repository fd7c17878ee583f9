"""`gateway read`: one test read, as configured or by address, with every sensible decoding side by side."""

import asyncio
import difflib
import struct
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError
from rich.markup import escape
from rich.table import Table

from gateway.cli.asking import Answers, Place, ask
from gateway.cli.asking import device as configured
from gateway.cli.opcua import read_opcua
from gateway.cli.output import Output, listing
from gateway.cli.problems import EXIT_CONFIG, print_problems
from gateway.core.errors import ConfigError, GatewayError
from gateway.core.ports.plugin import DeviceEntry
from gateway.core.quality import REASONS
from gateway.settings.error_text import in_words
from gateway.sources.modbus.address import resolve
from gateway.sources.modbus.config import ModbusDevice
from gateway.sources.modbus.decode import Decoder
from gateway.sources.modbus.link import ExceptionReply, NoReply
from gateway.sources.modbus.plan import Request, Span
from gateway.sources.modbus.tag import ModbusTag
from gateway.sources.modbus.tools.register_views import ORDERS, hardly_meant, shortest, strings, views
from gateway.sources.modbus.types import REGISTERS, ValueType, is_bits

EXIT_NO_REPLY = 1
_WIDE = 4  # registers of a 64-bit value
_ABREAST = 3  # of them fit into 80 columns


def read_address(url: str, unit: int, address: str, count: int, timeout_s: float) -> int:
    """Read by address; print raw words, bits and decodings. Returns the exit code."""
    console = Output()
    try:
        device = ModbusDevice.model_validate({"name": "read", "url": url, "unit": unit})
        tag = ModbusTag.model_validate({"name": "read", "address": address})
        table, start = resolve(tag.address)
        most = 2000 if is_bits(table) else 125
        if not 1 <= count <= most or start + count > 65536:
            raise ValueError(f"{count} from {start}: expected 1 to {most} places up to address 65535")
    except ValueError as error:
        return _refused(error)
    place = Place(unit, table, start, count, timeout_s)
    try:
        (payload,) = asyncio.run(ask([device.endpoint], [place])).payloads
    except GatewayError as error:
        what = f"{table}:{start}..{start + count - 1} of unit {unit} at {device.url}"
        advice = {
            NoReply: f"; gateway scan {url} finds units",
            ExceptionReply: "; one refused address refuses them all: ask for fewer with --count" if count > 1 else "",
        }.get(type(error), "")
        Output(stderr=True).print(f"[red]{escape(f'{what}: {error}{advice}')}[/]")
        return EXIT_NO_REPLY
    console.print(f"[bold]{table}:{start}[/], {count} of unit {unit} at {escape(device.url)}\n")
    assert isinstance(payload, bytes)
    if is_bits(table):
        _print_bits(console, place, payload)
    else:
        _print_words(console, place, [word for (word,) in struct.iter_unpack(">H", payload)])
    return 0


def read_tags(folder: Path, device: str, names: Sequence[str], timeout_s: float | None) -> int:
    """Read tags of a configured device, of Modbus each with a request of its own. Returns the exit code."""
    try:
        kind, entry = configured(folder, device, "tcp")
    except ConfigError as error:
        print_problems(error, folder)
        return EXIT_CONFIG
    except ValueError as error:
        return _refused(error)
    tags = [tag for tag in entry.tags if not names or tag.name in names]
    if missing := sorted(set(names) - {tag.name for tag in tags}):
        known = [tag.name for tag in entry.tags]
        close = sorted({near for name in missing for near in difflib.get_close_matches(name, known, 1)})
        hint = f"; there is {', '.join(close)}" if close else ""
        return _refused(ValueError(f"{device} has no tag {', '.join(missing)}{hint}"))
    if kind.name != "modbus":
        return read_opcua(entry.config, tags)
    config: ModbusDevice = entry.config
    seconds = config.timeout / 1e9 if timeout_s is None else timeout_s
    places = [Place(config.unit, tag.table, tag.start, tag.width, seconds) for tag in tags]
    try:
        answers = asyncio.run(ask(config.endpoints, places, keep_going=True))
    except GatewayError as error:
        Output(stderr=True).print(f"[red]{escape(str(error))}[/]")
        return EXIT_NO_REPLY
    for reason in answers.before:
        Output(stderr=True).print(f"[yellow]{escape(reason)}[/]; asking the backup {escape(answers.endpoint.address)}")
    Output().whole(_tag_table(entry, tags, answers))
    return EXIT_NO_REPLY if any(isinstance(payload, GatewayError) for payload in answers.payloads) else 0


def _refused(error: ValueError) -> int:
    for text in in_words(error, ModbusDevice) if isinstance(error, ValidationError) else [str(error)]:
        Output(stderr=True).print(f"[red]{escape(text)}[/]")
    return EXIT_CONFIG


def _tag_table(entry: DeviceEntry, tags: Sequence[ModbusTag], answers: Answers) -> Table:
    title = escape(f"{entry.config.name}: unit {entry.config.unit} at {answers.endpoint.url}")
    table = listing("tag", "address", "type", "raw", "value", "quality", title=title)
    for tag, payload in zip(tags, answers.payloads, strict=True):
        place = f"{tag.table}:{tag.start}"
        if isinstance(payload, GatewayError):
            table.add_row(escape(tag.name), place, tag.value_type, "", "", f"[red]{escape(str(payload))}[/]")
            continue
        request = Request(tag.table, tag.start, tag.width, (Span(tag.start, tag.width, 0),))
        found = Decoder(request, [tag], entry.config.byte_order)(payload)
        values = [f"{_number(tag, found.value[0])} {tag.unit}".strip()] if found.value.size else []
        values += [repr(value) for _, value, _ in found.objects]
        code = int(found.quality[0]) if found.value.size else found.objects[0][2]
        quality = "good" if code >= 0xC0 else f"[yellow]{REASONS[code]}[/]"
        table.add_row(escape(tag.name), place, tag.value_type, payload.hex(" ", 2), escape("  ".join(values)), quality)
    return table


def _number(tag: ModbusTag, value: float) -> str:
    plain = tag.value_type == "float32" and (tag.scale, tag.offset) == (1, 0)
    return shortest("float32", value) if plain else f"{value:.15g}"


def _shown(kind: ValueType, text: str) -> str:
    return f"[dim]({text})[/]" if hardly_meant(kind, text) else text


def _print_bits(console: Output, place: Place, payload: bytes) -> None:
    bits = [payload[at // 8] >> at % 8 & 1 for at in range(place.count)]
    for begin in range(0, place.count, 16):
        row = " ".join(map(str, bits[begin : begin + 16]))
        console.print(f"  {place.table}:{place.start + begin:<6} {row}")


def _print_words(console: Output, place: Place, words: Sequence[int]) -> None:
    headings = ("address", "hex", "bits", "high byte", "low byte")
    raw = listing(*headings, right=headings)
    for at, word in enumerate(words):
        bits = f"{word:016b}"
        grouped = " ".join(bits[i : i + 4] for i in range(0, 16, 4))
        raw.add_row(f"{place.table}:{place.start + at}", f"0x{word:04X}", grouped, str(word >> 8), str(word & 0xFF))
    console.whole(raw)
    decoded = [(kind, {order: _shown(kind, text) for order, text in texts.items()}) for kind, texts in views(words)]
    narrow = listing("type", *ORDERS, right=ORDERS, title=f"\nfrom {place.table}:{place.start} on, by byte_order")
    for kind, texts in decoded:
        if REGISTERS[kind] < _WIDE:
            narrow.add_row(kind, *(texts.get(order, "") for order in ORDERS))
    console.whole(narrow)
    wide = [(kind, texts) for kind, texts in decoded if REGISTERS[kind] == _WIDE and any(texts.values())]
    for some in filter(None, (wide[:_ABREAST], wide[_ABREAST:])):
        kinds = [kind for kind, _ in some]
        table = listing("", *kinds, right=kinds)
        for order in ORDERS:
            table.add_row(order, *(texts[order] for _, texts in some))
        console.print()
        console.whole(table)
    if any(text.startswith("[dim](") for _, texts in decoded for text in texts.values()):
        console.print("\n[dim]in parentheses: numbers that are hardly meant; another type or byte_order is[/]")
    for order, text in strings(words).items():
        console.print(f"  string, byte_order {order}: {escape(text)}")
