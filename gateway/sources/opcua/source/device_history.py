"""History of one device: what is missing, what was handed on, and how gaps are closed."""

from collections.abc import Callable

from gateway.core.events.event import Event
from gateway.core.ports.watermarks import Watermarks
from gateway.sources.opcua.port.session import Session
from gateway.sources.opcua.source.diagnostics import Diagnostics
from gateway.sources.opcua.source.history.backfill import Backfill
from gateway.sources.opcua.source.history.gaps import Gaps
from gateway.sources.opcua.source.history.readback import Put
from gateway.sources.opcua.source.history.watermark import Watermark
from gateway.sources.opcua.source.reading_queue import ReadingQueue
from gateway.sources.opcua.source.source_device import SourceDevice


class DeviceHistory:
    """Gaps, watermark and backfill of a device, over all its connections and over restarts of the gateway."""

    def __init__(self, device: SourceDevice, watermarks: Watermarks) -> None:
        """Begin without knowledge of an earlier run; loads nothing."""
        self.gaps = Gaps(len(device.items))
        self._watermark = Watermark(device.config, device.items, self.gaps, device.clock, watermarks, device.held_s)
        self._backfill = Backfill(
            device.config, device.items, device.number, device.clock, self.gaps, self._watermark, device.held_s
        )
        self._is_first = True

    @property
    def refused(self) -> int:
        """Return how many nodes' history the server refuses at present."""
        return self._backfill.refused

    def on_connected(self) -> None:
        """Begin a gap where something was received last, by this run or the one before it."""
        if self._is_first:
            self._watermark.load()
        self._is_first = False
        self.gaps.on_connected()
        self._watermark.on_connected()

    async def admit(self) -> None:
        """Return once what waits in the queue may be handed on."""
        await self._watermark.admit()

    def on_read(self, queue: ReadingQueue) -> None:
        """Record that the reader has taken something from the queue."""
        if queue.is_drained:
            self.gaps.hand_on()

    async def run_watermark(self) -> None:
        """Keep the watermark up to date as long as a connection lasts."""
        await self._watermark.run()

    async def run_backfill(
        self, session: Session, begun_ns: int, put: Put, diagnostics: Diagnostics, push: Callable[[Event], None]
    ) -> None:
        """Close all gaps; return when none is left. begun_ns: wall time when everything was monitored."""
        await self._backfill.run(session, begun_ns, put, diagnostics, push)

    def return_unread(self, queue: ReadingQueue) -> None:
        """Give back what was read of a gap and not taken from the queue, as the connection ends."""
        for gap in self.gaps.waiting:
            gap.return_lent(*queue.past_parts)

    def on_closed(self, *, was_open: bool, is_stopping: bool) -> None:
        """Record that nothing more is handed on for now. is_stopping: the gateway ends, not only the connection."""
        if was_open or self._watermark.is_owed:
            self._watermark.end(at_last=is_stopping)
