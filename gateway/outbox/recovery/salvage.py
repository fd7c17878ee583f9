"""A damaged file that was set aside: what can be read goes into the new one, the rest is declared lost, topic by topic."""

import asyncio
from collections.abc import Generator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from gateway.core.messages import Loss
from gateway.core.ports.watermarks import StoredWatermark
from gateway.outbox.config import OutboxConfig
from gateway.outbox.database.seal import SealState
from gateway.outbox.database.store import Store
from gateway.outbox.database.topic_counts import TopicCount, TopicCounts, TopicKey
from gateway.outbox.losses import LossLedger, key_of
from gateway.outbox.records import Change, Entry
from gateway.outbox.recovery.damaged_reader import Accounts, accounts, readable
from gateway.outbox.retention import needed, shortage

DAMAGED: Final = "damaged"


class MissingRows:
    """What has not been found again of a file, by topic and boot. Rows are found in the order of their ids. Pure."""

    def __init__(self, topic_counts: TopicCounts, reason: str) -> None:
        self._left = dict(topic_counts)
        self._runs: dict[TopicKey, tuple[int, int]] = {}
        self._reason = reason

    def found(self, entries: Iterable[Entry], uncounted_to: int) -> set[TopicKey]:
        """Record that these are there. Returns whose they are."""
        whose: set[TopicKey] = set()
        for entry in entries:
            m = entry.message
            of = (m.topic, m.boot)
            extent = self._left.get(of)
            if extent is None or entry.id <= uncounted_to:
                continue
            whose.add(of)
            first, last = entry.first_seq or m.seq, m.seq
            run = self._runs.get(of)
            self._runs[of] = (run[0], last) if run and run[1] + 1 == first else (first, last)
            lowest = last + 1 if first <= extent.first_seq <= last else extent.first_seq
            self._left[of] = extent._replace(messages=extent.messages - 1, first_seq=lowest)
        return whose

    def losses(self, whose: Iterable[TopicKey] | None = None) -> list[Loss]:
        """Return what is missing (of these topics), within numbers as narrow as can be known."""
        left = self._left if whose is None else {of: self._left[of] for of in whose}
        return [self._narrowed(of, x).loss(of, DAMAGED, self._reason) for of, x in left.items() if x.messages > 0]

    def copy(self) -> "MissingRows":
        """Return a copy."""
        other = MissingRows(self._left, self._reason)
        other._runs = dict(self._runs)
        return other

    @property
    def count(self) -> int:
        """Return how many messages are missing."""
        return sum(max(0, extent.messages) for extent in self._left.values())

    def _narrowed(self, of: TopicKey, extent: TopicCount) -> TopicCount:
        run = self._runs.get(of)
        return extent._replace(last_seq=run[0] - 1) if run and run[1] >= extent.last_seq else extent


class Salvage:
    """The work on one damaged file, a bounded piece at a time.

    At every moment the new file says of all that it does not have yet that it is lost, so that a crash meanwhile leaves the
    ledger whole: what was not copied lies in the file that was set aside.
    """

    def __init__(
        self, kept: Path, reason: str, known: Accounts | None, held: frozenset[int], sealed: SealState | None = None
    ) -> None:
        """known: what it said while it was open. sealed: the state of its seal then."""
        self.kept, self.reason = kept, reason
        self.rescued = 0
        self.is_reported = False
        self._known, self._held, self._sealed = known, held, sealed
        self._accounts = Accounts()
        self._missing = MissingRows({}, reason)
        self._batches: Generator[list[Entry], None, None] | None = None
        self._next: list[Entry] | None = None
        self._declared = False
        self._last_id = 0

    async def begin(self, store: Store, ledger: LossLedger) -> None:
        """Begin with the new file that is open: new messages get ids above all that may still be copied. Never raises."""
        if self._batches is not None:
            store.last_id = max(store.last_id, self._last_id)
            return
        if self._known is not None:
            self._accounts = self._known
        else:
            self._accounts = await asyncio.to_thread(accounts, self.kept, store.compression.encryption)
            ledger.found(self._accounts.losses)
            ledger.store_lost()
            self._last_id = self._accounts.last_id
        store.last_id = max(store.last_id, self._last_id)
        self._missing = MissingRows(self._accounts.topic_counts, self.reason)
        self._batches = readable(self.kept, store.compression, self._sealed, self._held.__contains__)

    async def step(self, store: Store, ledger: LossLedger, config: OutboxConfig) -> Sequence[Entry] | None:
        """Copy a batch and return it; empty when there is no room for it at present, None when all is copied.

        Raises as `Store.commit`; then it can be tried again.
        """
        if not self._declared:
            await self._declare(store, ledger)
        while not self._next:
            assert self._batches is not None, "begun"
            found = await asyncio.to_thread(next, self._batches, None)
            if found is None:
                return None
            self._next = [entry for entry in found if entry.id <= self._accounts.last_id]
        batch = self._next
        if shortage(config, store.usage(), needed(batch))[0]:
            return ()
        missing = self._missing.copy()
        whose = missing.found(batch, self._accounts.uncounted_to)
        losses = ledger.joined(missing.losses(whose))
        keys = {(boot, topic, DAMAGED) for topic, boot in whose}
        others = [loss for key in keys - {key_of(x) for x in losses} if (loss := ledger.whole(key))]
        await store.commit(Change(batch, losses=[*losses, *others], superseded=sorted(keys)))
        self._missing, self._next = missing, None
        self.rescued += len(batch)
        return batch

    @property
    def watermarks(self) -> Mapping[str, StoredWatermark]:
        """Return what the file has of sources, of which it is not known whether it is the newest."""
        return self._accounts.watermarks

    @property
    def lost(self) -> int | None:
        """Return how many messages only the damaged file had, None when it does not say."""
        messages = self._accounts.messages
        return None if messages is None else max(messages - self.rescued, self._missing.count)

    @property
    def unknown(self) -> int | None:
        """Return how many of these are of an unknown boot and topic, so that no record can name them."""
        return None if self.lost is None else max(0, self.lost - self._missing.count)

    @property
    def detail(self) -> dict[str, object]:
        """Return what events say of it beside the counts."""
        return {"reason": self.reason, "kept": str(self.kept), "rescued": self.rescued}

    def end(self, ledger: LossLedger) -> None:
        """Declare lost what is missing: nothing more is copied."""
        if self._batches is not None:
            self._batches.close()
        ledger.add(self._missing.losses())

    async def _declare(self, store: Store, ledger: LossLedger) -> None:
        saved = ledger.unsaved_losses()
        losses = {key_of(loss): loss for loss in (*saved, *ledger.joined(self._missing.losses()))}
        await store.commit(Change(losses=list(losses.values())))
        ledger.saved(saved, ())
        self._declared = True
