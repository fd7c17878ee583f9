"""Keeping the database under its ceilings: old windows are merged, then what is worth least is dropped, all with records."""

from collections.abc import Sequence
from typing import Final

from gateway.core.clock import Clock
from gateway.outbox.config import OutboxConfig
from gateway.outbox.losses import THINNED, LossLedger, losses_of
from gateway.outbox.memory import Batch, Memory
from gateway.outbox.records import Change, Entry, Row
from gateway.outbox.retention import age_period_ns, footprint, middle_aged_ms, near, needed, shortage, too_old_ms
from gateway.outbox.store import Store
from gateway.outbox.thinner import Merge, Merged, Thinner

CLOCK_PATIENCE_S: Final = 600.0
"""After a start or a step of the wall clock nothing is too old for so long: a machine without a battery starts at any date,
and what a wrong date drops is gone when the time server has answered."""

STEPS_BEFORE_CEILING: Final = 4
SHARE_OF_TIME: Final = 0.25
"""Merges after each commit while the ceiling is near, and how much of the commit interval they may take, but for the last.
They take in more than a commit writes, so dropping begins only when there is nothing left to merge."""

STEPS_AT_CEILING: Final = 16

_CLOCK_STEP_S: Final = 60.0
_MINUTES_ONLY: Final = 1


class Room:
    """Makes room in the store, called under the writer's lock. Every method raises as `Store` does."""

    def __init__(
        self, config: OutboxConfig, clock: Clock, store: Store, memory: Memory, ledger: LossLedger, merge: Merge
    ) -> None:
        self._config, self._clock = config, clock
        self._store, self._memory, self._ledger = store, memory, ledger
        self._thinner = Thinner(store, merge, memory.holds)
        self._next_look = clock.monotonic() + CLOCK_PATIENCE_S
        self._wall_offset_s = self._offset_s()

    def restart(self) -> None:
        """The store has opened a file."""
        self._thinner.restart()

    def wants_look(self, now: float) -> bool:
        """It is time to look for what is too old. now: monotonic seconds."""
        return now >= self._next_look

    async def make(self, batch: Batch) -> bool:
        """At a ceiling merge, then drop what is worth least, until the batch fits. False when nothing is left to drop."""
        need, steps = needed(batch.inserts), 0
        while batch.inserts:
            short, cause = shortage(self._config, self._store.usage(), need)
            if not short:
                break
            steps += 1
            if steps <= STEPS_AT_CEILING and await self._merge():
                continue
            victims = await self._store.oldest(short, footprint, self._memory.holds)
            if not victims:
                return False
            await self._drop(victims, cause)
            self._thinner.restart()
        return True

    async def prepare(self) -> None:
        """Near a ceiling merge some windows, after a commit, so that the next ones find room and are not late for it."""
        began, most_s = self._clock.monotonic(), self._config.commit_interval / 1e9 * SHARE_OF_TIME
        for _ in range(STEPS_BEFORE_CEILING):
            late = self._clock.monotonic() - began > most_s
            if late or not near(self._config, self._store.usage()) or not await self._merge():
                break

    async def expire(self) -> None:
        """Drop some of what is too old, or merge some of what is half as old; the next look is at once if there is more."""
        now, offset_s = self._clock.monotonic(), self._offset_s()
        if abs(offset_s - self._wall_offset_s) > _CLOCK_STEP_S:
            self._next_look = now + CLOCK_PATIENCE_S
        self._wall_offset_s = offset_s
        if now < self._next_look:
            return
        wall_ns = self._clock.now_ns()
        if victims := await self._store.expired(too_old_ms(self._config, wall_ns), self._memory.holds):
            await self._drop(victims, "max_age")
            return
        merged = await self._thinner.step(middle_aged_ms(self._config, wall_ns), _MINUTES_ONLY)
        if merged is not None:
            await self._replace(merged)
        else:
            self._next_look = now + age_period_ns(self._config) / 1e9

    def _offset_s(self) -> float:
        return self._clock.now_ns() / 1e9 - self._clock.monotonic()

    async def _merge(self) -> bool:
        """Merge some windows; False when there is nothing left to merge."""
        merged = await self._thinner.step(self._clock.now_ns() // 1_000_000)
        if merged is not None:
            await self._replace(merged)
        return merged is not None

    async def _drop(self, victims: Sequence[Row], cause: str) -> None:
        await self._write(victims, (), victims, cause)

    async def _replace(self, merged: Merged) -> None:
        if merged.gone:
            await self._write(merged.gone, merged.instead, merged.thinned, THINNED)

    async def _write(self, gone: Sequence[Row], instead: Sequence[Entry], lost: Sequence[Row], cause: str) -> None:
        """Delete rows and note the losses, in one transaction."""
        losses = losses_of(lost, cause)
        written = self._ledger.joined(losses)
        await self._store.commit(Change(instead, gone, written))
        self._ledger.add(losses)
        self._ledger.saved(written, ())
