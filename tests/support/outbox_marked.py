"""A process that works an outbox on the disk of tests/c/disk.c and marks in its log what the outbox has promised.

`python -m tests.support.outbox_marked PATH BOOT SYNCHRONOUS STEPS`. Marks: `put KEY CHECKSUM` before each put; `stored KEYS`
and `deleted KEYS` after the commit that did it; `ack KEY` before each ack. KEY is boot, topic, seq.
"""

import asyncio
import random
import sys
import zlib
from pathlib import Path

from gateway.core.messages import Lane, Message
from gateway.outbox.records import Change
from tests.support.disk import Switches
from tests.support.outbox_parts import NOW_NS, Rig, message


def key(message: Message) -> tuple[str, str, int]:
    """The message's name."""
    return message.boot, message.topic, message.seq


class Marked:
    """An outbox that is worked at random."""

    def __init__(self, rig: Rig, boot: str) -> None:
        self._rig, self._boot = rig, boot
        self._disk, self._chance = Switches(), random.Random(boot)
        self._seq = 0
        self._names: dict[int, tuple[str, str, int]] = {}
        self._flights: list = []
        store = rig.outbox._writer.store
        self._commit, store.commit = store.commit, self._marking  # type: ignore[method-assign]

    async def _marking(self, change: Change) -> None:
        await self._commit(change)
        self._names.update((entry.id, key(entry.message)) for entry in change.inserts)
        self._disk.mark("stored", [self._names[entry.id] for entry in change.inserts])
        self._disk.mark("deleted", [self._names[gone.id] for gone in change.deletes])

    async def step(self) -> None:
        """Some messages, some answers, some time; the connection comes and goes."""
        rig, chance = self._rig, self._chance
        if chance.random() < 0.2:
            self._release(0.0)
            rig.outbox.set_live(chance.random() < 0.6)
        for _ in range(chance.randrange(12)):
            self._put()
        if rig.outbox._writer.live:
            await self._take()
        await rig.advance(chance.choice([0.1, 0.5, 1.0]))

    def _put(self) -> None:
        self._seq += 1
        lane, size = self._chance.choice(list(Lane)), self._chance.choice([60, 300, 1500, 9000])
        new = message(self._seq, lane, boot=self._boot, size=size, end_ms=NOW_NS // 10**6)
        self._disk.mark("put", key(new), zlib.crc32(new.payload))
        self._rig.outbox.put(new)

    async def _take(self) -> None:
        if self._rig.outbox.stats.messages > len(self._flights):
            taken = await asyncio.wait_for(self._rig.outbox.fetch(self._chance.randrange(1, 20)), 20)
            self._names.update((delivery.id, key(delivery.message)) for delivery in taken)
            self._flights += taken
        self._release(0.7)

    def _release(self, acked: float) -> None:
        """End some flights; those that are not acknowledged are broken off."""
        for delivery in self._flights:
            if self._chance.random() < acked:
                self._names[delivery.id] = key(delivery.message)
                self._disk.mark("ack", key(delivery.message))
                self._rig.outbox.ack(delivery)
            else:
                self._rig.outbox.release([delivery])
        self._flights = []


async def work(path: Path, boot: str, synchronous: str, steps: int) -> None:
    async with Rig(path, boot, synchronous=synchronous) as rig:
        pages = random.Random(boot).choice([10, 50, 1000])
        await rig.outbox._writer.store._rows(f"PRAGMA wal_autocheckpoint = {pages}")
        marked = Marked(rig, boot)
        for _ in range(steps):
            await marked.step()


if __name__ == "__main__":
    asyncio.run(work(Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])))
