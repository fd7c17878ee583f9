"""Earlier runs that ended badly: reported as soon as they can be known, and forgotten once that is safe."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from gateway.core.clock import Clock
from gateway.core.messages import Loss
from gateway.outbox.database.store import Store
from gateway.outbox.lock import PathLock
from gateway.outbox.memory.watermarks import MOST_WAIT_S
from gateway.outbox.records import PreviousBoot
from gateway.outbox.run_notes import NotedRun, RunNotes, read

log = structlog.get_logger("outbox")

NOTE_EVERY_S: Final = 10.0
"""How often a run notes that its messages are in memory only, seconds: so exactly it is known how long that was."""

_NS_PER_MS: Final = 1_000_000


class PreviousRuns:
    """The runs before this one, and what this one notes for the next, while the database takes nothing.

    Called under the writer's lock, but for `follow`.
    """

    def __init__(self, store: Store, lock: PathLock, clock: Clock, boot: str) -> None:
        self._store, self._lock, self._clock, self._boot = store, lock, clock, boot
        self._report: Callable[[PreviousBoot], None] | None = None
        self._reported: dict[str, PreviousBoot] = {}
        self._reported_at: float | None = None
        self._notes: RunNotes | None = RunNotes()
        self._own: NotedRun | None = None
        self._noted_at = 0.0
        self._started_ms = clock.now_ns() // _NS_PER_MS
        self._is_logged = False

    # -- of the runs before

    def lock_acquired(self) -> Sequence[Loss]:
        """Take over what the run before has noted. Returns losses that a stop has caused and that are not announced yet."""
        self._notes = read(self._lock.note)
        return self._notes.losses if self._notes else ()

    def follow(self, report: Callable[[PreviousBoot], None]) -> None:
        """Report the runs that are known now, and those that get known later."""
        self._report = report
        self.look()

    def look(self) -> None:
        """Report what has got known: a file was opened."""
        for run in self.unreported:
            if self._report is not None and run.boot not in self._reported:
                self._reported[run.boot] = run
                self._reported_at = None
                self._report(run)

    @property
    def unreported(self) -> Sequence[PreviousBoot]:
        """Return the runs that ended badly and were not safely reported, oldest first."""
        noted = {run.boot: run for run in self._notes.runs} if self._notes else {}
        stored = {run.boot: run for run in self._store.unreported}
        found = {boot: self._with_note(run, noted.get(boot)) for boot, run in stored.items()}
        found |= {
            boot: PreviousBoot(boot, run.started_ms, _memory_ms(run)) for boot, run in noted.items() if boot not in stored
        }
        return sorted((run for run in found.values() if run.boot != self._boot), key=lambda run: run.started_ms)

    def _with_note(self, run: PreviousBoot, noted: NotedRun | None) -> PreviousBoot:
        if self._notes is None or (noted is None and self._lock.was_cut):
            return PreviousBoot(run.boot, run.started_ms, None)
        return PreviousBoot(run.boot, run.started_ms, _memory_ms(noted) if noted else 0)

    def begin(self, now: float) -> None:
        """Record that a commit begins: what was reported until now was put before. now: monotonic seconds."""
        if self._reported and self._reported_at is None:
            self._reported_at = now

    def are_safe(self, unwritten_since: float | None) -> bool:
        """Return whether the events about all that was reported are on disk or delivered."""
        if not self._reported or self._reported_at is None:
            return False
        return unwritten_since is None or unwritten_since > self._reported_at

    async def end(self) -> None:
        """Record that all messages are on disk, those about earlier runs included. Raises as `Store` does."""
        if self._reported and all(run.boot in self._reported for run in self.unreported):
            await self.mark()

    async def mark(self) -> None:
        """Have the next run not report again what this one has. Raises as `Store` does."""
        await self._store.mark_reported()
        self._store.unreported = []
        if self._notes:
            self._notes = self._notes.without(self._reported)
            await self._write()
        self._reported = {}

    # -- for the next run

    async def refused(self, since_ns: int) -> None:
        """Note that messages put since then (UTC) are in memory only; written now and then as long as that lasts."""
        now_ms, now = self._clock.now_ns() // _NS_PER_MS, self._clock.monotonic()
        if self._own is not None and now < self._noted_at + NOTE_EVERY_S:
            return
        since_ms = self._own.since_ms if self._own else since_ns // _NS_PER_MS
        self._own, self._noted_at = NotedRun(self._boot, self._started_ms, since_ms, now_ms), now
        self._notes = (self._notes or RunNotes()).with_run(self._own)
        await self._write()

    async def recovered(self) -> None:
        """Note that the disk has all that it should, losses of an earlier stop included."""
        notes = self._notes
        if notes is None or not (self._own or notes.losses):
            return
        self._own, self._notes = None, RunNotes(notes.without([self._boot]).runs)
        await self._write()

    async def stopped(self, losses: Sequence[Loss]) -> None:
        """Note what is lost with an orderly stop. The run itself ended as it should."""
        notes = (self._notes or RunNotes()).without([self._boot])
        known = RunNotes(notes.runs, losses, key=self._boot)
        self._notes = known if not losses or b'"is_cut":false' in known.written() else known.with_run(self._cut_off())
        await self._write()

    def _cut_off(self) -> NotedRun:
        """Return this run as one of which not all losses are noted."""
        now_ms = self._clock.now_ns() // _NS_PER_MS
        return self._own or NotedRun(self._boot, self._started_ms, self._started_ms, now_ms)

    async def _write(self) -> None:
        """Write the notes; a disk that is silent keeps nobody waiting for longer than `MOST_WAIT_S`."""
        text = (self._notes or RunNotes()).written()
        writing = asyncio.create_task(asyncio.to_thread(self._lock.write_note, text), name="outbox: note")
        done, _ = await asyncio.wait({writing}, timeout=MOST_WAIT_S)
        error = next((task.exception() for task in done), None)
        if isinstance(error, OSError) and not self._is_logged:
            self._is_logged = True
            log.warning("if it ends now, the next run cannot tell how much was lost", reason=error.strerror)


def _memory_ms(run: NotedRun) -> int:
    """Return how long messages may have been in memory only before the run ended."""
    return max(0, run.last_ms - run.since_ms) + int(NOTE_EVERY_S * 1000)
