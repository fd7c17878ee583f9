"""Reading nodes at their intervals, with a fixed phase on the monotonic clock."""

from collections.abc import Callable, Collection, Sequence

from gateway.sources.opcua.port.values import DataValues, Item, Values
from gateway.sources.opcua.source.diagnostics import OVERRUN, Diagnostics
from gateway.sources.opcua.source.ingest import Ingest
from gateway.sources.opcua.source.poison_search import PoisonSearch
from gateway.sources.opcua.source.source_device import SourceDevice


class Polling:
    """The polls of one session."""

    def __init__(
        self,
        device: SourceDevice,
        values: Values,
        search: PoisonSearch,
        ingest: Ingest,
        diagnostics: Diagnostics,
        on_values: Callable[[DataValues], None],
    ) -> None:
        """Begin without polls. on_values: called with each answer before it is ingested."""
        self.is_repeating = False
        """Every node was asked for at least once since the connection was opened, and some twice."""
        self._device = device
        self._values = values
        self._search = search
        self._ingest = ingest
        self._diagnostics = diagnostics
        self._on_values = on_values

    def groups(self, polled: Collection[int]) -> list[list[Item]]:
        """Return the items of these rows by interval; each group needs a `run` of its own."""
        items = [item for item in self._device.items if item.row in polled]
        intervals = sorted({item.publishing_ns for item in items})
        return [[item for item in items if item.publishing_ns == interval] for interval in intervals]

    async def run(self, items: Sequence[Item]) -> None:
        """Read items of one interval for ever. Raises NotConnected."""
        clock, interval_s = self._device.clock, items[0].publishing_ns / 1e9
        start_s, turn = clock.monotonic(), 0
        while True:
            for values in self._search.sort(await self._values.read(self._search.trusted(items))):
                self._on_values(values)
                await self._ingest.put(values, was_read=True)
            self._diagnostics.report_state()
            now_s = clock.monotonic()
            due = int((now_s - start_s) / interval_s) + 1
            if due - turn > 1:
                self._diagnostics.warn(OVERRUN, due - turn - 1)
            self.is_repeating, turn = self.is_repeating or turn > 0, due
            await clock.sleep(start_s + turn * interval_s - now_s)
