"""Power cuts: whatever a disk forgets of what was not synced, the outbox opens and has what it had committed."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.core.messages import Lane
from gateway.outbox.records import Change
from tests.support.outbox_parts import Rig, message, until, window
from tests.support.sqlite_disk import OK, Disk, disk

CUTS = 200

Name = tuple[str, str, int]


class Witness:
    """Knows what must be on disk: `before` the transaction that is being written, or `after` it."""

    def __init__(self, rig: Rig) -> None:
        self.before: dict[int, Name] = {}
        self.after: dict[int, Name] = {}
        store = rig.outbox._writer.store
        self._commit = store.commit
        store.commit = self.commit  # type: ignore[method-assign]

    async def commit(self, change: Change) -> None:
        after = dict(self.before)
        for gone in change.deletes:
            after.pop(gone.id)
        for entry in change.inserts:
            after[entry.id] = (entry.message.boot, entry.message.topic, entry.message.seq)
        self.after = after
        await self._commit(change)
        self.before = after


@asynccontextmanager
async def working(path: Path, chance: random.Random, **changes: Any) -> AsyncIterator[Rig]:
    async with Rig(path, **{"compress": chance.random() < 0.5, "max_bytes": "16MiB", **changes}) as rig:
        yield rig


async def work(rig: Rig, chance: random.Random, rounds: int) -> None:
    """Put, deliver, lose the connection, commit; now and then everything is delivered and the file shrinks."""
    seqs = dict.fromkeys(range(3), 0)
    for round in range(rounds):
        rig.outbox.set_live(chance.random() < 0.3)
        for _ in range(chance.randrange(60)):
            device = chance.randrange(3)
            seqs[device] += 1
            ts = 1_764_000_000_000 + round * 10_000 + seqs[device]
            rig.outbox.put(window(seqs[device], ts, f"d{device}", tags=chance.choice((1, 8, 40))))
        if chance.random() < 0.2:
            rig.outbox.put(message(round + 1, Lane.EVENT, size=chance.randrange(60, 20_000)))
        if rig.outbox._writer.live and rig.outbox.stats.messages:
            for delivery in await rig.outbox.take(chance.choice((1, 50, 2000))):
                rig.outbox.ack(delivery) if chance.random() < 0.9 else rig.outbox.release([delivery])
        await rig.commit()


async def found(path: Path) -> tuple[set[Name], list[object]]:
    """What an outbox that is started on these files has, and what it has to report."""
    async with Rig(path, "later") as rig:
        names = {(m.boot, m.topic, m.seq) for m in await rig.drain()}
        return names, rig.events


async def cuts(tmp_path: Path, count: int, **changes: Any) -> AsyncIterator[tuple[Path, set[Name], set[Name]]]:
    """Folders as power cuts leave them, each with what must be there before and after the transaction that was cut."""
    chance = random.Random(11)
    taken: list[tuple[Path, set[Name], set[Name]]] = []
    with disk() as under:
        async with working(tmp_path / "o.db", chance, **changes) as rig:
            witness = Witness(rig)

            def at(operation: str) -> int:
                if chance.random() < share and len(taken) < count:
                    folder = tmp_path / f"cut{len(taken)}"
                    under.power_cut(folder, chance)
                    taken.append((folder / "o.db", set(witness.before.values()), set(witness.after.values())))
                return OK

            share = 0.0
            under.before = at
            await work(rig, chance, 3)
            share = count / 4000
            while len(taken) < count:
                await work_on(rig, chance, under)
    for one in taken:
        yield one


async def work_on(rig: Rig, chance: random.Random, under: Disk) -> None:
    before = sum(under.calls.values())
    await work(rig, chance, 10)
    assert sum(under.calls.values()) > before


async def test_after_two_hundred_power_cuts_everything_committed_is_there_and_nothing_else(tmp_path: Path) -> None:
    """In the middle of transactions and of checkpoints; nothing is damaged, no transaction is there by halves."""
    seen = 0
    async for path, before, after in cuts(tmp_path, CUTS):
        names, events = await found(path)
        assert names in (before, after)
        assert events == []
        seen += 1
    assert seen == CUTS


async def test_the_disk_of_these_tests_does_forget(tmp_path: Path) -> None:
    """With `synchronous: normal` the last commits may be gone, as its description says; the file is whole all the same."""
    forgotten = 0
    async for path, before, after in cuts(tmp_path, 40, synchronous="normal"):
        names, events = await found(path)
        forgotten += names not in (before, after)
        assert events == []
    assert forgotten > 5


@pytest.mark.parametrize("seed", range(3))
async def test_a_cut_during_the_first_start_leaves_something_that_starts(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    folders: list[Path] = []
    with disk() as under:

        def at(operation: str) -> int:
            folders.append(tmp_path / f"cut{len(folders)}")
            under.power_cut(folders[-1], chance)
            return OK

        under.before = at
        async with Rig(tmp_path / "o.db") as rig:
            await until(lambda: rig.outbox._writer.store.is_open, "open")
    assert len(folders) > 10
    for folder in folders:
        (folder / "o.db.lock").touch()
        async with Rig(folder / "o.db") as rig:
            rig.outbox.put(message(1))
            await rig.commit()
            assert rig.on_disk == 1
