"""Backfill of the gaps of one server, connection after connection."""

from collections.abc import Callable, Sequence
from typing import Final

from gateway.core.clock import Clock
from gateway.core.errors import NotConnected
from gateway.core.events.event import Event
from gateway.core.retry_timer import DoublingDelay
from gateway.sources.opcua.config.device import OpcUaDevice
from gateway.sources.opcua.port.session import Session
from gateway.sources.opcua.port.values import Item
from gateway.sources.opcua.source.diagnostics import Diagnostics
from gateway.sources.opcua.source.history.gap import Gap
from gateway.sources.opcua.source.history.gaps import Gaps
from gateway.sources.opcua.source.history.readback import Ahead, GapResult, HistoryReader, Put
from gateway.sources.opcua.source.history.watermark import Watermark

GRACE_S: Final = 0.5
RETRY_S: Final = 60.0
MOST_RETRY_S: Final = 1800.0
MOST_FAILURES: Final = 3
"""Connections in a row that were lost while history was read; after these it is read later."""
CLOCKS: Final = "history is not read back because the clocks differ: set the clock of the server, or of this machine"
REFUSED: Final = "the server refuses to read history"
NOWHERE: Final = (
    "no node has a history that may be read: switch it on in the server, give this user the right to read it, or"
    " set history: false"
)
CUT_OFF: Final = "history is asked for later because the connection was lost each time that it was read"
SET_BACK: Final = "the server's times went back, so that it cannot be known what of its history was told before"
TOO_MANY: Final = "the connection was lost too often before the gap could be read back"


class Backfill:
    """The backfill of one device, for the life of the process."""

    def __init__(
        self,
        config: OpcUaDevice,
        items: Sequence[Item],
        number: int,
        clock: Clock,
        gaps: Gaps,
        watermark: Watermark,
        held_s: float,
    ) -> None:
        self._config = config
        self._items = items
        self._number = number
        self._clock = clock
        self._gaps = gaps
        self._watermark = watermark
        self._first_pause_s = max(RETRY_S, held_s)
        self._failures = 0
        self._cut_off = DoublingDelay(RETRY_S, MOST_RETRY_S)
        self._has_reported_nowhere = False
        self.refused = 0
        """Nodes whose history the server refuses at present."""

    async def run(
        self, connection: Session, begun_ns: int, put: Put, reports: Diagnostics, report: Callable[[Event], None]
    ) -> None:
        """Close all gaps that wait, once the first values say where the newest one ends; return when none waits.

        begun_ns: the gateway's time when everything was watched. What is refused is asked for again on a timer, until it is
        too old. Raises NotConnected.
        """
        await self._clock.sleep(2 * self._config.interval / 1e9 + GRACE_S)
        await self._until_clocks_agree(connection, reports)
        set_back_ns = self._gaps.close_open_gap(begun_ns + self._ahead_ns(connection))
        for gap in self._take_given_up():
            report(self._event(_given_up(gap), TOO_MANY))
        if set_back_ns > self._config.clock_tolerance:
            now_ns = self._clock.now_ns() + self._ahead_ns(connection)
            report(self._event(GapResult(begin_ns=now_ns, end_ns=now_ns + set_back_ns), SET_BACK))
        if not self._gaps.waiting:
            return
        if self._failures >= MOST_FAILURES:
            reports.warn(CUT_OFF, self._failures)
            await self._clock.sleep(self._cut_off.current_s)
        await self._close_all(connection, put, reports, report)

    def _reset_failures(self) -> None:
        self._failures = 0
        self._cut_off.reset()

    def _take_given_up(self) -> list[Gap]:
        given_up, self._gaps.given_up = self._gaps.given_up, []
        return given_up

    async def _close_all(self, connection: Session, put: Put, reports: Diagnostics, report: Callable[[Event], None]) -> None:
        pause = DoublingDelay(self._first_pause_s, MOST_RETRY_S)
        while True:
            for gap in self._gaps.waiting:
                gap.retry()
            await self._watermark.before_reading_back()
            try:
                await self._pass(connection, put, reports, report)
            except NotConnected:
                if self._failures >= MOST_FAILURES:
                    self._cut_off.double()
                self._failures += 1
                raise
            self._reset_failures()
            if not self._gaps.waiting:
                return
            await self._clock.sleep(pause.next_s())

    async def _pass(self, connection: Session, put: Put, reports: Diagnostics, report: Callable[[Event], None]) -> None:
        most = self._config.history_samples
        reader = HistoryReader(
            connection.history, self._items, self._clock, most, put, self._counting(self._watermark.before_slice)
        )
        self.refused = 0
        for gap in list(self._gaps.waiting):
            oldest_ns = self._clock.now_ns() + self._ahead_ns(connection) - self._config.history_most
            result = await reader.close(gap, oldest_ns)
            self._watermark.close_gap(gap)
            self.refused = max(self.refused, result.refused.total())
            self._report(gap, result, reports, report)
            if not gap.aside:
                self._gaps.waiting.remove(gap)

    def _counting(self, ahead: Ahead) -> Ahead:
        async def counted(gap: Gap, start_ns: int, end_ns: int) -> None:
            self._reset_failures()
            await ahead(gap, start_ns, end_ns)

        return counted

    def _report(self, gap: Gap, result: GapResult, reports: Diagnostics, report: Callable[[Event], None]) -> None:
        """Report once per gap, and again when another try brought something, or its samples became too old for one."""
        if result.refused and not gap.is_reported:
            reports.warn(f"{REFUSED}: {result.reason}", result.refused.total())
        elif result.without and not result.nodes and not self._has_reported_nowhere and result.without == len(self._items):
            self._has_reported_nowhere = True
            reports.warn(NOWHERE, result.without)
        is_news = result.skipped_ns or (result.refused and not gap.is_reported)
        if result.nodes or result.truncated or result.too_old_ns or is_news:
            report(self._event(result))
            gap.mark_reported()

    def _event(self, result: GapResult, reason: str = "") -> Event:
        return result.event(self._clock.now_ns(), self._number, reason)

    def _ahead_ns(self, connection: Session) -> int:
        """Return by how much the server's clock is ahead: history is asked for by that clock."""
        return round(connection.traffic.clock_ms * 1e6)

    async def _until_clocks_agree(self, connection: Session, reports: Diagnostics) -> None:
        while abs(self._ahead_ns(connection)) > self._config.clock_tolerance:
            reports.warn(CLOCKS, 1)
            await self._clock.sleep(RETRY_S)


def _given_up(gap: Gap) -> GapResult:
    rows = gap.unread(2**62)
    begin_ns, end_ns = (int(gap.after[rows].min()), int(gap.before[rows].max())) if rows else (0, 0)
    return GapResult(begin_ns=begin_ns, end_ns=end_ns, skipped_from_ns=begin_ns, skipped_ns=end_ns - begin_ns)
