"""Keeping the database under its ceilings: old windows are merged, then what is worth least is dropped, all with records."""

from collections.abc import Sequence
from typing import Final

from gateway.core.clock import Clock
from gateway.outbox.config import OutboxConfig
from gateway.outbox.database.store import Store
from gateway.outbox.losses import THINNED, LossLedger, losses_of
from gateway.outbox.memory.memory import Batch, Memory
from gateway.outbox.records import Change, Entry, Row
from gateway.outbox.retention import age_period_ns, footprint, middle_aged_ms, near, needed, shortage, surplus, too_old_ms
from gateway.outbox.window_compaction import Merge, Merged, WindowCompaction

CLOCK_GRACE_S: Final = 600.0
"""After a start or a step of the wall clock nothing is too old for so long: a machine without a battery starts at any date,
and what a wrong date drops is gone when the time server has answered."""

STEPS_BEFORE_CEILING: Final = 8
SHARE_OF_TIME: Final = 0.25
"""Merges after each commit while the ceiling is near, and how much of the commit interval all that makes room may take, but
for the last of it. They take in more than a commit writes, so dropping begins only when there is nothing left to merge."""

STEPS_AT_CEILING: Final = 32

CLOCK_STEP_S: Final = 60.0
"""A difference between wall and monotonic clock that changes by more than this means that the wall clock was set."""

_MINUTES_ONLY: Final = 1


class SpaceLimits:
    """Keeper of the ceilings of the store, called under the writer's lock. Every method raises as `Store` does."""

    def __init__(
        self, config: OutboxConfig, clock: Clock, store: Store, memory: Memory, ledger: LossLedger, merge: Merge | None
    ) -> None:
        self._config, self._clock = config, clock
        self._store, self._memory, self._ledger = store, memory, ledger
        self._compaction = WindowCompaction(store, merge, memory.holds)
        self._next_look = clock.monotonic() + CLOCK_GRACE_S
        self._wall_offset_s = self._offset_s()
        self._dropping = False

    def restart(self) -> None:
        """Begin anew: the store has opened a file."""
        self._compaction.restart()

    def wants_look(self, now: float) -> bool:
        """Return whether it is time to look for what is too old. now: monotonic seconds."""
        return now >= self._next_look

    async def make(self, batch: Batch) -> bool:
        """Merge at a ceiling, then drop what is worth least, until the batch fits. False when nothing is left to drop.

        Where much is over the ceiling, because that has come down, only so much goes at once that the file does not grow.
        """
        need, steps = needed(batch.inserts), 0
        before = self._store.usage().used if batch.inserts else 0
        while batch.inserts:
            usage = self._store.usage()
            short, cause = shortage(self._config, usage, need)
            if not short or before - usage.used >= need:
                break
            steps += 1
            if steps <= STEPS_AT_CEILING and await self._merge():
                continue
            self._dropping = True
            if not await self._drop_oldest(short, cause):
                return False
        return True

    async def prepare(self) -> None:
        """Merge some windows near a ceiling, after a commit, so that the next ones find room and are not late for it.

        When something had to be dropped, go on with that until there is some room.
        """
        began, steps = self._clock.monotonic(), 0
        while not self._late(began) and near(self._config, self._store.usage()):
            steps += 1
            if steps > STEPS_BEFORE_CEILING:
                break
            if await self._merge():
                continue
            over, cause = surplus(self._config, self._store.usage())
            if not self._dropping or not over:
                break
            steps = 0
            if not await self._drop_oldest(over, cause):
                break
        if self._dropping and not surplus(self._config, self._store.usage())[0]:
            self._dropping = False
            self._compaction.restart()  # rows that memory held then may be free when the ceiling is reached again

    async def expire(self) -> None:
        """Drop some of what is too old, or merge some of what is half as old; the next look is at once if there is more."""
        now, offset_s = self._clock.monotonic(), self._offset_s()
        if abs(offset_s - self._wall_offset_s) > CLOCK_STEP_S:
            self._next_look = now + CLOCK_GRACE_S
            if offset_s < self._wall_offset_s:
                await self._store.record_clock_step(self._memory.next_id, self._clock.now_ns() // 1_000_000)
        self._wall_offset_s = offset_s
        if now < self._next_look:
            return
        wall_ns = self._clock.now_ns()
        while not self._late(now):
            if victims := await self._store.expired(too_old_ms(self._config, wall_ns), self._memory.holds):
                await self._drop(victims, "max_age")
                continue
            merged = await self._compaction.step(middle_aged_ms(self._config, wall_ns), _MINUTES_ONLY)
            if merged is None:
                self._next_look = now + age_period_ns(self._config) / 1e9
                break
            await self._replace(merged)

    def _late(self, began: float) -> bool:
        """Return whether what began then has had its share of the commit interval."""
        return self._clock.monotonic() - began > self._config.commit_interval / 1e9 * SHARE_OF_TIME

    async def _drop_oldest(self, most_bytes: int, cause: str) -> bool:
        """Drop some of what is worth least; False when there is nothing."""
        held = self._memory.rows
        victims = await self._store.oldest(most_bytes, footprint, self._memory.holds)
        if victims:
            await self._drop(victims, cause)
        elif held == self._memory.rows:  # else some were left to the disk meanwhile
            self._store.check_count(held)
        return bool(victims)

    def _offset_s(self) -> float:
        return self._clock.now_ns() / 1e9 - self._clock.monotonic()

    async def _merge(self) -> bool:
        """Merge some windows; False when there is nothing left to merge."""
        merged = await self._compaction.step(self._clock.now_ns() // 1_000_000)
        if merged is not None:
            await self._replace(merged)
        return merged is not None

    async def _drop(self, victims: Sequence[Row], cause: str) -> None:
        await self._write(victims, (), victims, cause)

    async def _replace(self, merged: Merged) -> None:
        if merged.gone:
            await self._write(merged.gone, merged.instead, merged.thinned, THINNED)

    async def _write(self, gone: Sequence[Row], instead: Sequence[Entry], lost: Sequence[Row], cause: str) -> None:
        """Delete rows and record the losses, in one transaction."""
        losses = losses_of(lost, cause)
        written = self._ledger.joined(losses)
        await self._store.commit(Change(instead, gone, written))
        self._ledger.add(losses)
        self._ledger.saved(written, ())
