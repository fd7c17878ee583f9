"""From tags to read requests: pure functions, no I/O, nothing but numbers."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gateway.sources.modbus.config import ModbusDevice, ModbusTag, Table

_BITS_PER_REGISTER = 16


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """Where one tag stands in its table. row: position among the device's tags; count: registers or bits."""

    start: int
    count: int
    row: int

    @property
    def end(self) -> int:
        """The address after its last."""
        return self.start + self.count


@dataclass(frozen=True, slots=True)
class Request:
    """One read: `count` registers or bits of `table` from `start` (zero-based), and the tags found in the reply."""

    table: Table
    start: int
    count: int
    spans: tuple[Span, ...]

    @property
    def rows(self) -> tuple[int, ...]:
        """Positions of its tags among the device's tags, in the order of `spans`."""
        return tuple(span.row for span in self.spans)


def _request(table: Table, spans: Sequence[Span]) -> Request:
    start = min(span.start for span in spans)
    return Request(table, start, max(span.end for span in spans) - start, tuple(spans))


def cover(table: Table, spans: Iterable[Span], max_count: int, max_gap: int) -> list[Request]:
    """Requests that read every span exactly once, in order of address.

    No request is longer than `max_count` or reads over more than `max_gap` unwanted places between two spans; no span
    is split. Raises ValueError when a span alone is longer than `max_count`.
    """
    requests: list[Request] = []
    current: list[Span] = []
    end = 0
    for span in sorted(spans):
        if span.count > max_count:
            raise ValueError(f"{span.count} places do not fit a request of {max_count}")
        if current and (span.start - end > max_gap or max(end, span.end) - current[0].start > max_count):
            requests.append(_request(table, current))
            current = []
        end = max(end, span.end) if current else span.end
        current.append(span)
    if current:
        requests.append(_request(table, current))
    return requests


def split(request: Request) -> tuple[Request, Request]:
    """Two requests that share the tags of one between them, halved by number of tags; each asks only for what it needs.

    Raises ValueError when there is only one tag.
    """
    middle = len(request.spans) // 2
    if not middle:
        raise ValueError("one tag cannot be split")
    return _request(request.table, request.spans[:middle]), _request(request.table, request.spans[middle:])


def interval_ns(device: ModbusDevice, tag: ModbusTag) -> int:
    """How often a sample of the tag is due, ns."""
    return device.interval if tag.interval is None else tag.interval


def check_tag(device: ModbusDevice, tag: ModbusTag) -> tuple[str, str, str] | None:
    """A tag that no request of this device can carry: (key, message, expected)."""
    if not _is_registers(tag.table) or tag.width <= device.max_registers:
        return None
    message = f"{tag.value_type} takes {tag.width} registers, more than the device's max_registers ({device.max_registers})"
    return "type", message, f"a shorter type, or max_registers of at least {tag.width}"


def plan_device(device: ModbusDevice, tags: Sequence[ModbusTag]) -> list[tuple[int, Request]]:
    """(interval in ns, request) for all tags of a device: one poll group per interval, shortest first.

    The tags have passed `check_tag`.
    """
    groups: dict[tuple[int, Table], list[Span]] = {}
    for row, tag in enumerate(tags):
        groups.setdefault((interval_ns(device, tag), tag.table), []).append(Span(tag.start, tag.width, row))
    return [
        (interval, request)
        for (interval, table), spans in sorted(groups.items())
        for request in cover(table, spans, *_limits(device, table))
    ]


def _is_registers(table: Table) -> bool:
    return table in ("holding", "input")


def _limits(device: ModbusDevice, table: Table) -> tuple[int, int]:
    if _is_registers(table):
        return device.max_registers, device.max_gap
    return device.max_bits, device.max_gap * _BITS_PER_REGISTER
