"""Tries items that may bring down the answers they are part of: reads them, then watches them, part by part."""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from gateway.core.clock import Clock
from gateway.core.errors import NotConnected
from gateway.sources.opcua.config.device import OpcUaDevice
from gateway.sources.opcua.port.errors import HungUp, Poisoned, Unanswered
from gateway.sources.opcua.port.session import Connection
from gateway.sources.opcua.port.values import DataValues, Item
from gateway.sources.opcua.source.diagnostics import Diagnostics
from gateway.sources.opcua.source.ingest import Ingest
from gateway.sources.opcua.source.item_map import ItemMap
from gateway.sources.opcua.source.keepalives import SILENT_KEEPALIVES
from gateway.sources.opcua.source.monitored_items import GRACE_S, MonitoredItems
from gateway.sources.opcua.source.poison_state import STRIKES, Fault, PoisonState
from gateway.sources.opcua.source.staleness import Staleness
from gateway.sources.opcua.status.codes import BAD_DECODING, COMMUNICATION_ERROR, POISONED
from gateway.sources.opcua.status.explanation import explained

LOOK_S: Final = 0.05
DUE_LOOK_S: Final = 1.0
MOST_RUBBISH: Final = 3
LOOKS_APART_S: Final = 10.0
_UNANSWERED: Final = 0x800A0000


def fault_of(errors: Sequence[BaseException], *, has_heard: bool) -> Fault | None:
    """What a lost connection says of its items; None where it says nothing. has_heard: the server had said something, so
    that the items are not the likeliest reason."""
    for error in errors:
        match error:
            case Poisoned():
                return Fault(error.status)
            case HungUp():
                return Fault(
                    COMMUNICATION_ERROR, "the server hangs up when it is asked for it", 1 if has_heard else STRIKES // 3
                )
            case Unanswered():
                return Fault(
                    _UNANSWERED, "the server falls silent when it is asked for it", 1 if has_heard else STRIKES // 2
                )
    return None


class PoisonSearch:
    """The trials of one connection. suspects: what is known of the items, from one connection to the next.

    Where notifications are lost, everything that is watched is read once: what they may have said of nodes that do not
    change again would stay unknown, and a node that cannot be decoded shows. is_stained: the lost session may hold items
    that bring the server down.
    """

    def __init__(
        self,
        suspects: PoisonState,
        tagging: ItemMap,
        clock: Clock,
        reports: Diagnostics,
        watching: MonitoredItems,
        silence: Staleness,
        taking: Ingest,
        config: OpcUaDevice,
    ) -> None:
        """What is polled is polled by somebody else, as soon as it is trusted."""
        self._suspects = suspects
        self._tagging = tagging
        self._clock = clock
        self._reports = reports
        self._watching = watching
        self._silence = silence
        self._taking = taking
        self._subscribes = config.mode == "subscribe"
        self._timeout_s = config.timeout / 1e9
        self._grace_s = 2 * config.interval / 1e9 + GRACE_S
        self._wanted = asyncio.Event()
        self._rubbish = self._vain_looks = 0
        self._wants_look = self._is_looking = self.is_stained = False
        self._look_due_s = 0.0

    async def run(self, connection: Connection) -> None:
        """Try what waits, one part after the other, as long as the connection lasts. Raises NotConnected."""
        if self._suspects.is_searching:
            silent = self._suspects.untrusted | self._tagging.rows_of(self._reports.health.bad_rows)
            trusted = [item.row for item in self._tagging.items if item.row not in silent]
            await self._said(connection, trusted)
        while True:
            if self._wants_look and self._clock.monotonic() >= self._look_due_s:
                await self._look(connection)
            elif rows := self._suspects.trial(self._clock.monotonic()):
                await self._try(connection, [self._tagging.items[row] for row in rows])
            elif self._suspects.culprits or self._wants_look:
                await self._clock.sleep(DUE_LOOK_S)
            else:
                await self._wanted.wait()
                self._wanted.clear()

    def judge(self, errors: Sequence[BaseException], lasted_s: float, *, has_heard: bool) -> bool:
        """The connection was lost, which had served for so long. has_heard: it has. True to connect again at once."""
        fault, now_s = fault_of(errors, has_heard=has_heard and not self._is_looking), self._clock.monotonic()
        was_trying, goes_on, self._is_looking = self._suspects.is_trying, False, False
        if fault is None:
            self._suspects.cancel()
        else:
            goes_on = self._suspects.lost(fault, lasted_s, now_s)
        self.is_stained = was_trying or self._suspects.is_searching
        return goes_on

    def sort(self, answers: Sequence[DataValues]) -> Sequence[DataValues]:
        """Answers of a poll: what was refused for the sake of a single node is that node's own status."""
        culprits = self._blame(answers)
        if not culprits:
            return answers
        for row in culprits:
            for tag in self._tagging.tags_of(self._tagging.items[row]):
                status = self._suspects.culprits[row].fault.status
                self._reports.health.fail(tag, status, self._clock.monotonic())
        self._reports.tell()
        self._wanted.set()
        return [replace(one, refused=0) if len(one) == 1 and int(one.columns.row[0]) in culprits else one for one in answers]

    def miss(self, undecoded: int, lost: int) -> None:
        """Notifications are missing: so many of this connection could not be decoded, so many more are lost for good."""
        if undecoded > self._rubbish or lost:
            self._rubbish = max(self._rubbish, undecoded)
            self._wants_look = True
            self._wanted.set()

    async def _look(self, connection: Connection) -> None:
        asked_s = self._clock.monotonic()
        silent = self._suspects.untrusted | self._watching.polled | self._tagging.rows_of(self._reports.health.bad_rows)
        self._is_looking, self._wants_look = True, False
        try:
            await self._read_all(connection, [item for item in self._tagging.items if item.row not in silent], asked_s)
        except BaseException:  # a session that is taken over is looked at again
            self._wants_look = True
            raise

    async def _read_all(self, connection: Connection, items: Sequence[Item], asked_s: float) -> None:
        answers = await connection.read(items)
        self._is_looking = False
        self._look_due_s = asked_s + LOOKS_APART_S
        if blamed := self._blame(answers):
            await connection.remove_items([self._tagging.items[row] for row in blamed])
            await self._watching.leave_out({row: self._suspects.culprits[row].fault for row in blamed})
            self._reports.tell()
        self._vain_looks += self._rubbish > self._vain_looks and not blamed
        if self._vain_looks >= MOST_RUBBISH:
            raise Poisoned("the server's notifications cannot be decoded", BAD_DECODING)
        await self._clock.sleep(self._grace_s)
        for values in answers:
            changed = [] if values.refused else self._silence.changed(values.columns, asked_s)
            if changed:
                wanted = np.isin(values.columns.row, changed)
                await self._taking.take(replace(values, columns=values.columns.take(wanted)), was_read=True)

    async def _try(self, connection: Connection, items: Sequence[Item]) -> None:
        left = await self._read(connection, items)
        if left is None:
            return
        watched = [item for item in left if self._subscribes and item.row not in self._watching.polled]
        polled = [item for item in left if not self._subscribes or item.row in self._watching.polled]
        self._reports.health.heal(row for item in polled for row in self._tagging.tags_of(item))
        if watched:
            self._silence.expect([item.row for item in watched])
            await self._said(connection, await self._watching.add(connection, watched))
        was_searching = self._suspects.is_searching
        self._suspects.passed(self._clock.monotonic())
        is_over = was_searching and not self._suspects.is_searching
        await self._tell_culprits(self._tagging.items if is_over else ())
        self._watching.begin_polls()

    async def _read(self, connection: Connection, items: Sequence[Item]) -> Sequence[Item] | None:
        """Those that may be watched, as far as a read can tell; None where the trial is over, because all were refused."""
        answers = await connection.read(items)
        blamed = self._blame(answers)
        if blamed:
            await self._watching.leave_out({row: self._suspects.culprits[row].fault for row in blamed})
        status = next((one.refused for one in answers if one.refused in POISONED), 0)
        if not status or any(not one.refused for one in answers) or await connection.check():
            return [item for item in items if item.row not in blamed]
        was_searching = self._suspects.is_searching
        self._suspects.failed(Fault(status, is_costly=False), self._clock.monotonic())
        if was_searching and not self._suspects.is_searching and not self._suspects.culprits:
            raise NotConnected(f"the server fails at everything: {explained(status)}")
        await self._tell_culprits(items)
        return None

    async def _tell_culprits(self, items: Sequence[Item]) -> None:
        """Those of these, if any, that have become culprits, or still are."""
        culprits = self._suspects.culprits
        faults = {item.row: culprits[item.row].fault for item in items if item.row in culprits}
        await self._watching.leave_out(faults)
        self._reports.tell()

    def _blame(self, answers: Sequence[DataValues]) -> Collection[int]:
        """Rows that were refused alone, in answers of which others were given."""
        refused = [one for one in answers if one.refused in POISONED and len(one) == 1]
        if not refused or all(one.refused for one in answers):
            return ()
        now_s = self._clock.monotonic()
        for one in refused:
            self._suspects.blame(int(one.columns.row[0]), Fault(one.refused, is_costly=False), now_s)
        return {int(one.columns.row[0]) for one in refused}

    async def _said(self, connection: Connection, rows: Collection[int]) -> None:
        """Wait until these have said something, or could have: as long as a server may be silent before it is lost."""
        end_s = self._clock.monotonic() + max(SILENT_KEEPALIVES * connection.keepalive_s, self._timeout_s) + GRACE_S
        while not self._silence.all_said(rows) and self._clock.monotonic() < end_s:
            await self._clock.sleep(LOOK_S)
