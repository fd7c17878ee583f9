"""Watermarks on their way to the disk: what a commit takes of them, and what is noted where the disk takes nothing."""

import asyncio
from collections.abc import Callable, Mapping

import structlog

from gateway.core.clock import Clock
from gateway.core.ports.watermarks import StoredWatermark
from gateway.outbox.database.store import Store
from gateway.outbox.lock import PathLock
from gateway.outbox.memory.watermarks import MOST_WAIT_S, PendingWatermarks
from gateway.outbox.records import Change

log = structlog.get_logger("outbox")


class WatermarkWriter:
    """The watermarks of one outbox. Called under the writer's lock, but for `pending`, which sources call.

    Where the database takes nothing, sources hand on more than its watermarks allow. That is noted in the file of the lock,
    whose one block can be written on a full disk, too; a next run then takes none of them for certain.
    """

    def __init__(
        self, store: Store, lock: PathLock, clock: Clock, wake: Callable[[], None], refuses: Callable[[], bool]
    ) -> None:
        """wake: begin a commit soon. refuses: the disk takes nothing at present."""
        self._store, self._lock = store, lock
        self.pending = PendingWatermarks(clock, wake, refuses, self._doubt)
        """What sources use, as the port `Watermarks`."""

    def is_due(self, now: float) -> bool:
        """Return whether there are changes that wait for nothing else any more. now: monotonic seconds."""
        due_at = self.pending.due_at
        return due_at is not None and due_at <= now

    def changes(self, *, refresh: bool) -> Mapping[str, StoredWatermark]:
        """Return what this commit writes. refresh: there is a commit anyway, so sources may renew theirs."""
        if refresh or self.pending.due_at is not None:
            self.pending.refresh()
        return self.pending.changes()

    async def saved(self, changes: Mapping[str, StoredWatermark]) -> None:
        """Record that a commit has written `changes`. Once nothing is left to write, the database is right again."""
        self.pending.saved(changes)
        if self._lock.in_doubt and self.pending.due_at is None:
            await self._note_doubt(False)

    def adopt(self, rescued: Mapping[str, StoredWatermark], is_complete: bool) -> None:
        """Take over what the file has that was opened. rescued, is_complete: see `PendingWatermarks.adopt`."""
        stored = self._store.watermarks
        self.pending.adopt(stored, rescued, is_complete=is_complete, in_doubt=self._lock.in_doubt)

    async def write(self) -> None:
        """Write now what the file lacks that was just opened: a next run would take it for complete."""
        if changes := self.pending.changes():
            await self._store.commit(Change(watermarks=changes))
            await self.saved(changes)

    async def _doubt(self) -> None:
        if not self._lock.in_doubt:
            await self._note_doubt(True)

    async def _note_doubt(self, in_doubt: bool) -> None:
        """Write the note; a disk that is silent keeps nobody waiting for longer than `MOST_WAIT_S`."""
        noting = asyncio.create_task(asyncio.to_thread(self._lock.note_doubt, in_doubt), name="outbox: doubt")
        done, _ = await asyncio.wait({noting}, timeout=MOST_WAIT_S)
        for task in done:
            if isinstance(error := task.exception(), OSError):
                text = "a crash before the disk is back may count values of device histories twice"
                log.warning(text, reason=error.strerror)
