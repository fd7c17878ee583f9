"""A process that works outboxes on the disk of tests/c/disk.c, which fails at another call each time.

`python -m tests.support.outbox_failing FOLDER CALLS ERROR COUNT WHEN`: CALLS (see `Calls`) fail with ERROR (a name of
errno), COUNT of them (-1: until healed), first from the first call on, then from the second on and so forth until the work
ends before it comes to that. WHEN: `use`, or `start` to fail already while an outbox that has a backlog is opened. Prints
one JSON object for each: what became of the messages.
"""

import asyncio
import errno
import json
import random
import shutil
import sys
from collections import Counter
from pathlib import Path

from gateway.core.messages import Lane, Message
from tests.support.disk import Calls, Switches
from tests.support.outbox_parts import Rig, message

ROUNDS = 4


class Work:
    """Puts, answers and time; what was put and what was acknowledged."""

    def __init__(self) -> None:
        self.put: dict[tuple[str, str, int], bytes] = {}
        self.acked: list[tuple[str, str, int]] = []
        self.most_memory = 0
        self._chance = random.Random(1)
        self._seq = 0

    async def rounds(self, rig: Rig, boot: str, rounds: int, size: int) -> None:
        """Every other round connected, with most of what is taken acknowledged."""
        for round in range(rounds):
            rig.outbox.set_live(round % 2 == 0)
            for _ in range(8):
                self._seq += 1
                new = message(self._seq, self._chance.choice(list(Lane)), boot=boot, size=self._chance.randrange(60, size))
                self.put[key(new)] = new.payload
                rig.outbox.put(new)
                self.most_memory = max(self.most_memory, rig.outbox.stats.memory_bytes)
            if round % 2 == 0:
                for delivery in await asyncio.wait_for(rig.outbox.fetch(6), 10):
                    if self._chance.random() < 0.3:
                        rig.outbox.release([delivery])
                    else:
                        self.acked.append(key(delivery.message))
                        rig.outbox.ack(delivery)
            await rig.commit()


def key(message: Message) -> tuple[str, str, int]:
    """The message's name."""
    return message.boot, message.topic, message.seq


async def attempt(path: Path, calls: Calls, error: int, after: int, count: int, at_start: bool) -> dict[str, object]:
    """One outbox, one failure; then the disk is well, and after a crash everything is drained."""
    disk, work = Switches(), Work()
    if at_start:
        async with Rig(path, "b0") as rig:
            await work.rounds(rig, "b0", 2, 2000)
            await rig.stop()
            await rig.crash()
        disk.fail(calls, error, after, count)
    async with Rig(path, "b1", memory="1MiB") as rig:
        if not at_start:
            await rig.outbox._writer.store._rows("PRAGMA wal_autocheckpoint = 8")  # checkpoints are to fail as well
            disk.fail(calls, error, after, count)
        await work.rounds(rig, "b1", ROUNDS, 12_000)
        for _ in range(15 if after % 25 == 0 else 0):  # more than fits into memory
            await work.rounds(rig, "b1", 1, 40_000)
        met, refused = disk.met, rig.outbox.stats.refused
        disk.heal()
        rig.outbox.set_live(True)
        await rig.commit()
        await rig.commit()
        states, refused_at_last = rig.states, rig.outbox.stats.refused
        losses = rig.losses.encoded
        await rig.crash()
    async with Rig(path, "b2") as rig:
        found = [m for m in await rig.drain() if m.topic != "g/event"]
        states = [*states, *rig.states]
    lost = Counter((loss.boot, loss.topic) for loss in losses for _ in range(loss.count))
    ended = Counter([*work.acked, *map(key, found)])
    missing = Counter(name[:2] for name in work.put if name not in ended)
    return {
        "after": after,
        "met": met,
        "states": states,
        "refused": refused,
        "refused_at_last": refused_at_last,
        "invented": [key(m) for m in found if work.put.get(key(m)) != m.payload],
        "twice": [name for name, times in ended.items() if times > 1],
        "unexplained": [[*name, n, lost[name]] for name, n in missing.items() if lost[name] != n],
        "lost": lost.total(),
        "most_memory": work.most_memory,
    }


async def main(folder: Path, calls: Calls, error: int, count: int, at_start: bool) -> None:
    after, step = 0, 1
    while True:
        path = folder / "o" / "o.db"
        result = await attempt(path, calls, error, after, count, at_start)
        shutil.rmtree(folder / "o")
        print(json.dumps(result), flush=True)
        if result["met"] <= after:  # type: ignore[operator]
            break
        after += step


if __name__ == "__main__":
    _, folder, calls, error, count, when = sys.argv
    asyncio.run(main(Path(folder), Calls(int(calls)), getattr(errno, error), int(count), when == "start"))
