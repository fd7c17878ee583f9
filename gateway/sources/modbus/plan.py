"""From tags to read requests: pure functions, no I/O, nothing but numbers."""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from gateway.core.ports.plugin import Fault, FaultAt
from gateway.sources.modbus.address import Range, parse_range
from gateway.sources.modbus.config import ModbusDevice
from gateway.sources.modbus.tag import ModbusTag
from gateway.sources.modbus.types import Table, is_bits


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """Where one tag stands in its table."""

    start: int
    count: int
    """Registers or bits."""
    row: int
    """Position among the device's tags."""

    @property
    def end(self) -> int:
        """Return the address after its last."""
        return self.start + self.count


@dataclass(frozen=True, slots=True)
class Request:
    """One read: `count` registers or bits of `table` from `start` (zero-based), and the tags found in the reply."""

    table: Table
    start: int
    count: int
    spans: tuple[Span, ...]
    octets: int = 2
    """Bytes of each register; 4 where the device has registers of 32 bits."""

    @classmethod
    def of(cls, table: Table, spans: Sequence[Span], octets: int = 2) -> "Request":
        """Return the smallest request that reads all of the spans."""
        start = min(span.start for span in spans)
        return cls(table, start, max(span.end for span in spans) - start, tuple(spans), octets)

    @property
    def rows(self) -> tuple[int, ...]:
        """Return the positions of its tags among the device's tags, in the order of `spans`."""
        return tuple(span.row for span in self.spans)

    @property
    def wanted(self) -> int:
        """Return how many registers or bits some tag needs."""
        return len({place for span in self.spans for place in range(span.start, span.end)})


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may be."""

    max_count: int
    """Places that it asks for."""
    max_gap: int
    """Places in a row that no tag needs."""
    forbidden: tuple[tuple[int, int], ...] = ()
    """(first, last) addresses that it must not touch."""
    octets: int = 2
    """Bytes of each register."""

    def bridges(self, start: int, end: int) -> bool:
        """Return whether addresses start to end - 1, which no tag needs, may be read over."""
        if end <= start:
            return True
        return end - start <= self.max_gap and not any(first < end and start <= last for first, last in self.forbidden)


def cover(table: Table, spans: Iterable[Span], limits: Limits) -> list[Request]:
    """Return the fewest requests that read every span exactly once; of those, the ones that ask for the fewest places.

    In order of address; no span is split. Raises ValueError when a span alone is longer than a request may be.
    """
    outer, inner = _nested(spans, limits.max_count)
    first = _best_parts(outer, limits)
    requests: list[Request] = []
    end = len(outer)
    while end:
        begin = first[end - 1]
        members = sorted(span for place in range(begin, end) for span in (outer[place], *inner[place]))
        requests.append(Request.of(table, members, limits.octets))
        end = begin
    return requests[::-1]


def _nested(spans: Iterable[Span], max_count: int) -> tuple[list[Span], list[list[Span]]]:
    """Return spans that no other contains, starts and ends strictly growing, and for each of them those that it contains."""
    outer: list[Span] = []
    inner: list[list[Span]] = []
    for span in sorted(spans, key=lambda span: (span.start, -span.count, span.row)):
        if span.count > max_count:
            raise ValueError(f"{span.count} places do not fit a request of {max_count}")
        if outer and span.end <= outer[-1].end:
            inner[-1].append(span)
        else:
            outer.append(span)
            inner.append([])
    return outer, inner


def _best_parts(spans: Sequence[Span], limits: Limits) -> list[int]:
    """Return for each span the first span of the request that ends with it in the best plan of all up to it.

    best[k] is (requests, places) of the best plan for the first k spans. A request over spans j..i costs
    best[j] + (1, end_i - start_j), so the best j of those within reach is the least best[j] - start_j: a minimum over a
    window that only moves forwards.
    """
    best, first = [(0, 0)], []
    window: deque[tuple[tuple[int, int], int]] = deque()
    for place, span in enumerate(spans):
        if place and not limits.bridges(spans[place - 1].end, span.start):
            window.clear()
        cost = best[place][0], best[place][1] - span.start
        while window and window[-1][0] >= cost:
            window.pop()
        window.append((cost, place))
        while span.end - spans[window[0][1]].start > limits.max_count:
            window.popleft()
        (requests, places), begin = window[0]
        best.append((requests + 1, places + span.end))
        first.append(begin)
    return first


def split(request: Request) -> tuple[Request, Request]:
    """Return two requests that share the tags of one, halved by number of tags; each asks only for what it needs.

    Raises ValueError when there is only one tag.
    """
    middle = len(request.spans) // 2
    if not middle:
        raise ValueError("one tag cannot be split")
    halves = request.spans[:middle], request.spans[middle:]
    first, second = (Request.of(request.table, half, request.octets) for half in halves)
    return first, second


def interval_ns(device: ModbusDevice, tag: ModbusTag) -> int:
    """Return how often a sample of the tag is due, ns."""
    return device.interval if tag.interval is None else tag.interval


def check_tag(device: ModbusDevice, tag: ModbusTag) -> Fault | None:
    """Return why no request of this device can carry the tag."""
    if tag.classic and device.addressing != "classic":
        table, start = tag.table, tag.start
        message = f"{tag.address} is a classic number, but the device counts from zero"
        expected = f"{table}:{start} for the same place, or addressing: classic in the device"
        return Fault("address", message, expected)
    width = width_of(device, tag)
    if fault := _check_ranges(device, tag, width):
        return fault
    for hole in _forbidden(device, tag.table):
        if hole.first < tag.start + width and tag.start <= hole.last:
            message = f"{tag.table}:{tag.start} is forbidden by the device ({hole.table}:{hole.first}-{hole.last})"
            return Fault("address", message, "an address outside, or another range in forbidden:")
    if is_bits(tag.table) or width <= device.max_registers:
        return None
    key = "length" if tag.is_text else "type"
    message = f"{tag.value_type} takes {tag.width} registers, more than the device's max_registers ({device.max_registers})"
    return Fault(key, message, f"a shorter {key}, or max_registers of at least {tag.width}")


def _check_ranges(device: ModbusDevice, tag: ModbusTag, width: int) -> Fault | None:
    """Return why a tag lies in no range that the device allows, or only with a part of it."""
    place, last = f"{tag.table}:{tag.start}", tag.start + width - 1
    if device.requests and _fixed_range(device, tag, width) is None:
        return Fault(
            "address", f"{place} is in none of the device's requests", "an address in one, or another range in requests:"
        )
    if octets_of(device, tag.table, tag.start) != octets_of(device, tag.table, last):
        return Fault(
            "address", f"{place} ends outside the device's wide_registers", "an address whose whole value lies inside"
        )
    return None


def _fixed_range(device: ModbusDevice, tag: ModbusTag, width: int) -> Range | None:
    ranges = (one for one in map(parse_range, device.requests) if one.table == tag.table)
    return next((one for one in ranges if one.first <= tag.start and tag.start + width - 1 <= one.last), None)


def octets_of(device: ModbusDevice, table: Table, start: int) -> int:
    """Return the bytes at one address of registers: 2, or 4 in the device's `wide_registers`."""
    wide = (one for one in map(parse_range, device.wide_registers) if one.table == table)
    return 4 if any(one.first <= start <= one.last for one in wide) else 2


def width_of(device: ModbusDevice, tag: ModbusTag) -> int:
    """Return how many addresses the tag takes."""
    return tag.width if octets_of(device, tag.table, tag.start) == 2 else (tag.width + 1) // 2


def check_tags(device: ModbusDevice, tags: Sequence[ModbusTag]) -> list[FaultAt]:
    """Return which masks of tags of a device share a bit."""
    del device
    wrong: list[FaultAt] = []
    places: dict[tuple[Table, int, int], list[tuple[int, ModbusTag]]] = {}
    for row, tag in enumerate(tags):
        if tag.mask is None or tag.value_type == "bool":
            continue
        at = (tag.table, tag.start, tag.width)
        for other_row, other in places.get(at, ()):
            if (common := tag.mask & (other.mask or 0)) and (tag.byte or "low") == (other.byte or "low"):
                message = (
                    f"{tag.mask:#x} overlaps with tag {tags[other_row].name!r} ({other.mask:#x}) in the bits {common:#x}"
                )
                wrong.append(FaultAt(row, "mask", message, "masks that share no bit of a register"))
                break
        places.setdefault(at, []).append((row, tag))
    return wrong


def check_devices(devices: Sequence[ModbusDevice]) -> list[FaultAt]:
    """Return which devices reach one line or server in different ways.

    Two connections to one serial server would disturb each other, and many controllers take only one.
    """
    wrong: list[FaultAt] = []
    lines: dict[tuple[object, ...], ModbusDevice] = {}
    for row, device in enumerate(devices):
        end = device.endpoint
        first = lines.setdefault((end.path, end.host, end.port, end.scheme == "udp"), device)
        if first.url != device.url:
            form = "in another form" if first.endpoint.address != end.address else "with other options"
            message = f"{end.path or f'{end.host}:{end.port}'} is used {form} by {first.name}"
            wrong.append(FaultAt(row, "url", message, f"the same for all devices on a line: {first.url}"))
        elif first.ignore_transaction_id != device.ignore_transaction_id:
            message = f"{first.name} on the same connection has {str(first.ignore_transaction_id).lower()}"
            wrong.append(FaultAt(row, "ignore_transaction_id", message, "the same for all devices with this url"))
        elif first.backup != device.backup:
            message = f"{first.name} on the same connection has {first.backup or 'none'}"
            wrong.append(FaultAt(row, "backup", message, "the same for all devices with this url"))
    return wrong


def limits_of(device: ModbusDevice, table: Table, octets: int = 2) -> Limits:
    """Return what a request of this device may be. octets: bytes of each register."""
    holes = [(hole.first, hole.last) for hole in _forbidden(device, table)]
    wide = [(one.first, one.last) for one in map(parse_range, device.wide_registers) if one.table == table]
    if octets == 2:
        return Limits(device.most_of(table), device.gap_of(table), (*holes, *wide))
    # a reply has 250 bytes; a gap between two ranges may have registers of 16 bits
    return Limits(max(1, device.most_of(table) // 2), 0, tuple(holes), octets)


def plan_device(device: ModbusDevice, tags: Sequence[ModbusTag]) -> list[tuple[int, Request]]:
    """Return (interval in ns, request) for all tags of a device: one poll group per interval, shortest first.

    The tags have passed `check_tag`.
    """
    if device.requests:
        return _fixed_plan(device, tags)
    groups: dict[tuple[int, Table, int], list[Span]] = {}
    for row, tag in enumerate(tags):
        key = interval_ns(device, tag), tag.table, octets_of(device, tag.table, tag.start)
        groups.setdefault(key, []).append(Span(tag.start, width_of(device, tag), row))
    return [
        (interval, request)
        for (interval, table, octets), spans in sorted(groups.items())
        for request in cover(table, spans, limits_of(device, table, octets))
    ]


def _fixed_plan(device: ModbusDevice, tags: Sequence[ModbusTag]) -> list[tuple[int, Request]]:
    """Return the requests that the device allows, of those in which a tag lies."""
    groups: dict[tuple[int, Range], list[Span]] = {}
    for row, tag in enumerate(tags):
        width = width_of(device, tag)
        if (fixed := _fixed_range(device, tag, width)) is not None:
            groups.setdefault((interval_ns(device, tag), fixed), []).append(Span(tag.start, width, row))
    return [
        (interval, Request(one.table, one.first, one.last - one.first + 1, tuple(sorted(spans)), octets))
        for (interval, one), spans in sorted(groups.items())
        for octets in (octets_of(device, one.table, one.first),)
    ]


def _forbidden(device: ModbusDevice, table: Table) -> Sequence[Range]:
    return _holes(device.forbidden, table)


@lru_cache(64)
def _holes(forbidden: tuple[str, ...], table: Table) -> Sequence[Range]:
    return [hole for hole in map(parse_range, forbidden) if hole.table == table]
