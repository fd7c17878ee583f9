"""The witness of the database: held against each file that a run begins with, renewed when messages come and go."""

import asyncio
from collections.abc import Callable
from typing import Final

from gateway.outbox.database.store import Store
from gateway.outbox.lock import PathLock
from gateway.outbox.losses import LossLedger
from gateway.outbox.memory.watermarks import MOST_WAIT_S
from gateway.outbox.witness import Witness, read, vanished

_NOTHING: Final = Witness()


class WitnessKeeper:
    """The witness of one outbox. Called under the writer's lock.

    It is written without a sync: after a crash of the process it is that of the last commit, after a power cut perhaps an
    older one, which witnesses less and nothing wrong.
    """

    def __init__(self, store: Store, lock: PathLock, ledger: LossLedger, report: Callable[[int, int], None]) -> None:
        """report: takes how many messages have vanished, and how many of these are in no loss record."""
        self._store, self._lock, self._ledger, self._report = store, lock, ledger, report
        self._is_compared = False
        self._written = _NOTHING

    async def opened(self, *, is_whole: bool) -> None:
        """Compare the first file of this run with what the last one left. is_whole: it is no new file for a damaged one."""
        if not self._is_compared:
            self._is_compared = True
            self._written = read(self._lock.witness)
            if is_whole:
                await self._compare(self._written)
        self._store.commits = max(self._store.commits, self._written.commits)  # a new file goes on counting

    async def _compare(self, witness: Witness) -> None:
        still = await self._store.still(witness.topic_counts or {}) if self._store.commits < witness.commits else {}
        losses = vanished(witness, self._store.commits, still)
        if losses is None:
            return
        named = witness.topic_counts or {}
        others = {of: count for of, count in self._store.topic_counts.items() if of not in named}
        unnamed = witness.messages - sum(count.messages for count in named.values())
        unknown = max(0, unnamed - sum(count.messages for count in others.values()))
        if lost := unknown + sum(loss.count for loss in losses):
            self._ledger.add(losses)
            self._report(lost, unknown)

    async def committed(self) -> None:
        """Renew the witness where messages have come or gone; of an empty outbox there is none."""
        messages = sum(self._store.totals.messages.values())
        if self._store.commits == self._written.commits or not (messages or self._written.messages):
            return
        self._written = Witness(self._store.commits, messages, dict(self._store.topic_counts))
        writing = asyncio.create_task(
            asyncio.to_thread(self._lock.write_witness, self._written.written()), name="outbox: witness"
        )
        done, _ = await asyncio.wait({writing}, timeout=MOST_WAIT_S)
        for task in done:
            if isinstance(task.exception(), OSError):
                self._written = _NOTHING  # tried again with the next commit
