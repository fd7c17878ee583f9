"""Building `DataValues` one value at a time, and the numbering of notifications. Pure."""

from datetime import UTC, datetime
from typing import Final

from gateway.sources.opcua.connection import DataValues

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST_NS: Final = 2**62
_NUMBERS: Final = 2**32 - 1


class Columns:
    """Collects data values."""

    __slots__ = ("_kind", "_server_ns", "_source_ns", "_status", "_value", "row")

    def __init__(self) -> None:
        self.row: list[int] = []
        self._kind: list[int] = []
        self._value: list[object] = []
        self._status: list[int] = []
        self._source_ns: list[int] = []
        self._server_ns: list[int] = []

    def add(self, row: int, kind: int, value: object, status: int, source: datetime | None, server: datetime | None) -> None:
        """One data value, as `DataValues` describes it."""
        self.row.append(row)
        self._kind.append(kind)
        self._value.append(value)
        self._status.append(status)
        self._source_ns.append(to_ns(source))
        self._server_ns.append(to_ns(server))

    def done(self, received_ns: int, server_clock_ns: int, lost: int = 0) -> DataValues:
        """What was collected."""
        columns = (self.row, self._kind, self._value, self._status, self._source_ns, self._server_ns)
        return DataValues(*columns, received_ns, server_clock_ns, lost)


def to_ns(time: datetime | None) -> int:
    """ns since the epoch; 0 for none and for the null date of 1601 (Part 6, 5.2.2.5), capped where int64 ends."""
    if time is None:
        return 0
    since = time - _EPOCH
    return min(max(0, (since.days * 86_400 + since.seconds) * 1_000_000_000 + since.microseconds * 1000), _LATEST_NS)


def missing_between(last: int, now: int) -> int:
    """Notifications lost between two sequence numbers: 1 to 2^32 - 1, then 1 again (Part 4, 7.9); `last` 0: none yet.

    A number that went backwards is a server that counts in its own way, not a loss.
    """
    if last == 0:
        return 0
    gap = (now - last - 1) % _NUMBERS
    return gap if gap < _NUMBERS // 2 else 0
