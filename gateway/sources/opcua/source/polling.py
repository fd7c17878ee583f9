"""Reading nodes at their intervals, with a fixed phase on the monotonic clock."""

from collections.abc import Callable, Collection, Sequence

from gateway.core.clock import Clock
from gateway.sources.opcua.port.session import Connection
from gateway.sources.opcua.port.values import DataValues, Item
from gateway.sources.opcua.source.diagnostics import OVERRUN, Diagnostics
from gateway.sources.opcua.source.ingest import Ingest
from gateway.sources.opcua.source.poison_search import PoisonSearch
from gateway.sources.opcua.source.poison_state import PoisonState


class Polling:
    """The polls of one connection. is_repeating: every node was asked for at least once, and some twice."""

    def __init__(
        self,
        items: Sequence[Item],
        clock: Clock,
        suspects: PoisonState,
        searching: PoisonSearch,
        taking: Ingest,
        reports: Diagnostics,
        notice: Callable[[DataValues], None],
    ) -> None:
        """notice: is told what comes, before it is taken."""
        self.is_repeating = False
        self._items = items
        self._clock = clock
        self._suspects = suspects
        self._searching = searching
        self._taking = taking
        self._reports = reports
        self._notice = notice

    def groups(self, polled: Collection[int]) -> list[list[Item]]:
        """Items of these rows by interval, each group for a `run` of its own."""
        items = [item for item in self._items if item.row in polled]
        intervals = sorted({item.publishing_ns for item in items})
        return [[item for item in items if item.publishing_ns == interval] for interval in intervals]

    async def run(self, connection: Connection, items: Sequence[Item]) -> None:
        """Read items of one interval for ever. Raises NotConnected."""
        interval_s = items[0].publishing_ns / 1e9
        start, turn = self._clock.monotonic(), 0
        while True:
            untrusted = self._suspects.untrusted
            asked = [item for item in items if item.row not in untrusted] if untrusted else items
            for values in self._searching.sort(await connection.read(asked)):
                self._notice(values)
                await self._taking.take(values, was_read=True)
            self._reports.tell()
            now = self._clock.monotonic()
            due = int((now - start) / interval_s) + 1
            if due - turn > 1:
                self._reports.complain(OVERRUN, due - turn - 1)
            self.is_repeating, turn = self.is_repeating or turn > 0, due
            await self._clock.sleep(start + turn * interval_s - now)
