"""Tries items that may bring down the answers they are part of: reads them, then monitors them, part by part."""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from gateway.core.errors import NotConnected
from gateway.sources.opcua.port.errors import HungUp, Poisoned, Unanswered
from gateway.sources.opcua.port.session import Session
from gateway.sources.opcua.port.values import DataValues, Item
from gateway.sources.opcua.source.diagnostics import Diagnostics
from gateway.sources.opcua.source.ingest import Ingest
from gateway.sources.opcua.source.liveness import SILENT_KEEPALIVES
from gateway.sources.opcua.source.monitored_items import MonitoredItems
from gateway.sources.opcua.source.poison_state import CERTAIN, Fault, PoisonState
from gateway.sources.opcua.source.source_device import SourceDevice
from gateway.sources.opcua.source.staleness import Staleness
from gateway.sources.opcua.status.codes import BAD_DECODING, COMMUNICATION_ERROR, POISONED
from gateway.sources.opcua.status.explanation import explained

MOST_UNDECODED: Final = 3
"""Notifications that could not be decoded and for which no read found a culprit: then the search begins."""
_UNANSWERED: Final = 0x800A0000


def fault_of(errors: Sequence[BaseException], *, has_received: bool) -> Fault | None:
    """Return what a lost connection says of its items; None where it says nothing.

    has_received: the server had sent something, so that the items are not the likeliest reason.
    """
    for error in errors:
        match error:
            case Poisoned():
                return Fault(error.status)
            case HungUp():
                words, weight = "the server hangs up when it is asked for it", 1 if has_received else CERTAIN // 3
                return Fault(COMMUNICATION_ERROR, words, weight)
            case Unanswered():
                words, weight = "the server falls silent when it is asked for it", 1 if has_received else CERTAIN // 2
                return Fault(_UNANSWERED, words, weight)
    return None


class PoisonSearch:
    """The trials of one session. What is known of the items stays in a `PoisonState`.

    Where notifications are lost, everything that is monitored is read once: what they may have said of nodes that do not
    change again would stay unknown, and a node that cannot be decoded shows.
    """

    def __init__(
        self,
        device: SourceDevice,
        session: Session,
        poison: PoisonState,
        diagnostics: Diagnostics,
        monitored: MonitoredItems,
        staleness: Staleness,
        ingest: Ingest,
    ) -> None:
        """Begin without a trial. Items that are polled are polled by `Polling`, as soon as they are trusted."""
        self._device = device
        self._session = session
        self._poison = poison
        self._diagnostics = diagnostics
        self._monitored = monitored
        self._staleness = staleness
        self._ingest = ingest
        self._wake = asyncio.Event()
        self._reread = _Reread()

    async def run(self) -> None:
        """Try what waits, one part after the other, as long as the connection lasts. Raises NotConnected."""
        clock = self._device.clock
        if self._poison.is_searching:
            silent = self._poison.untrusted | self._diagnostics.bad_item_rows
            await self._wait_for_values([item.row for item in self._device.items if item.row not in silent])
        while True:
            if self._reread.is_wanted and clock.monotonic() >= self._reread.due_s:
                await self._reread_all()
            elif rows := self._poison.next_trial(clock.monotonic()):
                await self._try([self._device.items[row] for row in rows])
            elif self._poison.culprits or self._reread.is_wanted:
                await clock.sleep(self._device.intervals.search_idle_s)
            else:
                await self._wake.wait()
                self._wake.clear()

    def on_lost(self, errors: Sequence[BaseException], served_s: float, *, has_received: bool) -> bool:
        """Record that the connection was lost after so long. Returns whether to connect again at once."""
        poison = self._poison
        fault = fault_of(errors, has_received=has_received and not self._reread.is_running)
        was_trying, goes_on, self._reread.is_running = poison.is_trying, False, False
        if fault is None:
            poison.cancel()
        else:
            goes_on = poison.on_lost(fault, served_s, self._device.clock.monotonic())
        poison.is_session_tainted = was_trying or poison.is_searching
        return goes_on

    def on_missing(self, undecoded: int, lost: int) -> None:
        """Record missing notifications: so many of this session could not be decoded, so many more are lost for good."""
        if undecoded > self._reread.undecoded or lost:
            self._reread.undecoded = max(self._reread.undecoded, undecoded)
            self._reread.is_wanted = True
            self._wake.set()

    def trusted(self, items: Sequence[Item]) -> Sequence[Item]:
        """Return those of these items that may be read."""
        untrusted = self._poison.untrusted
        return [item for item in items if item.row not in untrusted] if untrusted else items

    def sort(self, answers: Sequence[DataValues]) -> Sequence[DataValues]:
        """Return the answers of a poll, where a call refused because of a single node is that node's own status."""
        culprits = self._blame(answers)
        if not culprits:
            return answers
        for row in culprits:
            for tag in self._device.item_map.tags_of(self._device.items[row]):
                status = self._poison.culprits[row].status
                self._diagnostics.health.fail(tag, status, self._device.clock.monotonic())
        self._diagnostics.report_state()
        self._wake.set()
        return [replace(one, refused=0) if len(one) == 1 and int(one.columns.row[0]) in culprits else one for one in answers]

    async def _reread_all(self) -> None:
        """Read everything that is monitored. A read that the end of the connection interrupts is repeated on the next."""
        silent = self._poison.untrusted | self._monitored.polled | self._diagnostics.bad_item_rows
        self._reread.is_running, self._reread.is_wanted = True, False
        is_done = False
        try:
            await self._read_missed([item for item in self._device.items if item.row not in silent])
            is_done = True
        finally:
            self._reread.is_wanted = self._reread.is_wanted or not is_done

    async def _read_missed(self, items: Sequence[Item]) -> None:
        asked_s = self._device.clock.monotonic()
        answers = await self._session.values.read(items)
        self._reread.is_running = False
        self._reread.due_s = asked_s + self._device.intervals.reread_pause_s
        if blamed := self._blame(answers):
            await self._session.values.unsubscribe([self._device.items[row] for row in blamed])
            await self._leave_out(blamed)
            self._diagnostics.report_state()
        self._reread.without_culprit += self._reread.undecoded > self._reread.without_culprit and not blamed
        if self._reread.without_culprit >= MOST_UNDECODED:
            raise Poisoned("the server's notifications cannot be decoded", BAD_DECODING)
        await self._device.clock.sleep(2 * self._device.config.interval / 1e9 + self._device.intervals.grace_s)
        for values in answers:
            changed = [] if values.refused else self._staleness.changed(values.columns, asked_s)
            if changed:
                is_changed = np.isin(values.columns.row, changed)
                await self._ingest.put(replace(values, columns=values.columns.select(is_changed)), was_read=True)

    async def _try(self, items: Sequence[Item]) -> None:
        left = await self._try_read(items)
        if left is None:
            return
        is_polled = {item.row for item in left if not self._device.is_subscribed or item.row in self._monitored.polled}
        watched = [item for item in left if item.row not in is_polled]
        item_map = self._device.item_map
        self._diagnostics.health.heal(row for item in left if item.row in is_polled for row in item_map.tags_of(item))
        if watched:
            self._staleness.expect([item.row for item in watched])
            await self._wait_for_values(await self._monitored.add(watched))
        was_searching = self._poison.is_searching
        self._poison.passed(self._device.clock.monotonic())
        is_over = was_searching and not self._poison.is_searching
        await self._report_culprits(self._device.items if is_over else ())
        self._monitored.reconnect_for_polls()

    async def _try_read(self, items: Sequence[Item]) -> Sequence[Item] | None:
        """Return the items that a read does not rule out; None where the trial is over because all were refused."""
        answers = await self._session.values.read(items)
        blamed = self._blame(answers)
        await self._leave_out(blamed)
        status = next((one.refused for one in answers if one.refused in POISONED), 0)
        if not status or any(not one.refused for one in answers) or await self._session.check():
            return [item for item in items if item.row not in blamed]
        was_searching = self._poison.is_searching
        self._poison.failed(Fault(status, is_costly=False), self._device.clock.monotonic())
        if was_searching and not self._poison.is_searching and not self._poison.culprits:
            raise NotConnected(f"the server fails at everything: {explained(status)}")
        await self._report_culprits(items)
        return None

    async def _report_culprits(self, items: Sequence[Item]) -> None:
        await self._leave_out([item.row for item in items if item.row in self._poison.culprits])
        self._diagnostics.report_state()

    async def _leave_out(self, rows: Collection[int]) -> None:
        await self._monitored.leave_out({row: self._poison.culprits[row] for row in rows})

    def _blame(self, answers: Sequence[DataValues]) -> Collection[int]:
        """Record and return the rows that were refused alone, in answers of which others were given."""
        refused = [one for one in answers if one.refused in POISONED and len(one) == 1]
        if not refused or all(one.refused for one in answers):
            return ()
        now_s = self._device.clock.monotonic()
        for one in refused:
            self._poison.record_culprit(int(one.columns.row[0]), Fault(one.refused, is_costly=False), now_s)
        return {int(one.columns.row[0]) for one in refused}

    async def _wait_for_values(self, rows: Collection[int]) -> None:
        """Wait until something of each row has come, or as long as a server may be silent before it counts as lost."""
        clock, intervals = self._device.clock, self._device.intervals
        silent_s = max(SILENT_KEEPALIVES * self._session.keepalive_s, self._device.config.timeout / 1e9)
        end_s = clock.monotonic() + silent_s + intervals.grace_s
        while not self._staleness.has_received_all(rows) and clock.monotonic() < end_s:
            await clock.sleep(intervals.search_step_s)


class _Reread:
    """State of reading everything after lost notifications."""

    def __init__(self) -> None:
        self.is_wanted = self.is_running = False
        self.due_s = 0.0
        self.undecoded = 0
        """Notifications of this session that could not be decoded."""
        self.without_culprit = 0
        """Reads because of such a notification that found no culprit."""
