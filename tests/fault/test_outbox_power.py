"""Power cuts, kills, disks that lie and disks with bad places: the outbox opens and has all that it had promised.

One model of the disk (`tests/support/platter.py`), told by SQLite's own file layer in this process, or by every call of
another process below its C library.
"""

import json
import random
import sqlite3
import subprocess
import sys
import tempfile
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest

from gateway.core.messages import Lane, Message
from gateway.outbox.database import counted_rows
from gateway.outbox.records import Change
from tests.support.disk import Follower, Record, preloaded, records
from tests.support.network import until
from tests.support.outbox_marked import key
from tests.support.outbox_parts import Rig, message, window
from tests.support.platter import Platter
from tests.support.sqlite_disk import IOERR_READ, OK, Disk
from tests.support.sqlite_disk import disk as sqlite_disk

CUTS = 200
CALL_CUTS = 100
STEPS = 100

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


async def work(rig: Rig, chance: random.Random, rounds: int, seqs: dict[int, int] | None = None) -> None:
    """Put, deliver, lose the connection, commit; now and then everything is delivered and the file shrinks. seqs: the last
    numbers of three devices and of the events, to go on from."""
    seqs = dict.fromkeys(range(4), 0) if seqs is None else seqs
    for round in range(rounds):
        rig.outbox.set_live(chance.random() < 0.3)
        for _ in range(chance.randrange(60)):
            device = chance.randrange(3)
            seqs[device] += 1
            ts = 1_764_000_000_000 + round * 10_000 + seqs[device]
            rig.outbox.put(window(seqs[device], ts, f"d{device}", tags=chance.choice((1, 8, 40))))
        if chance.random() < 0.2:
            seqs[3] += 1
            rig.outbox.put(message(seqs[3], Lane.EVENT, size=chance.randrange(60, 20_000)))
        if rig.outbox._writer.live and rig.outbox.stats.messages:
            for delivery in await rig.outbox.fetch(chance.choice((1, 50, 2000))):
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
    with sqlite_disk() as under:
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
    with sqlite_disk() as under:

        def at(operation: str) -> int:
            folders.append(tmp_path / f"cut{len(folders)}")
            under.power_cut(folders[-1], chance)
            return OK

        under.before = at
        async with Rig(tmp_path / "o.db") as rig:
            await until(lambda: rig.outbox._writer.store.is_open, what="open")
    assert len(folders) > 10
    for folder in folders:
        (folder / "o.db.lock").touch()
        async with Rig(folder / "o.db") as rig:
            rig.outbox.put(message(1))
            await rig.commit()
            assert rig.on_disk == 1


# -- another process, below its C library


class Promises:
    """What the outbox has said so far, from the marks in the log."""

    def __init__(self) -> None:
        self.put: dict[tuple[str, str, int], int] = {}
        self.stored: set[tuple[str, str, int]] = set()
        self.deleted: set[tuple[str, str, int]] = set()
        self.acked: set[tuple[str, str, int]] = set()

    def hear(self, record: Record) -> None:
        """Take in a mark; other records say nothing."""
        if record.kind != "M":
            return
        kind, what, *more = json.loads(record.body)
        if kind == "put":
            self.put[tuple(what)] = more[0]
        elif kind == "ack":
            self.acked.add(tuple(what))
        else:
            (self.stored if kind == "stored" else self.deleted).update(map(tuple, what))


def recorded(disk: Path, folder: Path, boot: str, synchronous: str) -> list[Record]:
    """Let the outbox in `folder` be worked; what its disk was told."""
    with tempfile.TemporaryDirectory() as aside:
        log = Path(aside) / "log"
        command = [sys.executable, "-m", "tests.support.outbox_marked", folder / "o.db", boot, synchronous, str(STEPS)]
        environment = preloaded(disk, folder, log)
        subprocess.run(command, env=environment, cwd=Path(__file__).parents[2], check=True, timeout=60)
        return list(records(log))


def lay_out(files: dict[str, bytes], folder: Path) -> None:
    folder.mkdir()
    for name, content in files.items():
        (folder / Path(name).name).write_bytes(content)


async def check_opened(folder: Path, said: Promises, forgetful: bool) -> None:
    """Everything promised is there, nothing was invented, nothing deleted has come back."""
    async with Rig(folder / "o.db", "after") as rig:
        # with synchronous: normal a cut costs commits, and the witness beside the file says so
        assert [event.state for event in rig.events] in ([], ["vanished"] if forgetful else [])
        count = rig.outbox.stats.messages
        messages = await rig.drain()
        with closing(sqlite3.connect(folder / "o.db")) as db:
            assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert len(messages) == count
    found = {key(m): zlib.crc32(m.payload) for m in messages}
    assert len(found) == count, "nothing is there twice"
    assert found.items() <= said.put.items(), "nothing is invented"
    if not forgetful:
        assert said.stored - said.acked <= found.keys(), "what was committed is there, or delivered"
        assert not said.deleted & found.keys(), "what was deleted stays deleted"


async def test_kills_at_any_moment_of_a_commit(disk: Path, shared_memory: Path) -> None:
    """SIGKILL between any two calls to the disk, and within one: twice a hundred of them, whatever `synchronous` says."""
    for synchronous in ("full", "normal"):
        chance, said = random.Random(synchronous), Promises()
        folder = shared_memory / synchronous
        folder.mkdir()
        log = recorded(disk, folder, "b0", synchronous)
        platter = Platter()
        follower = Follower(platter)
        moments = set(chance.sample(range(len(log)), CALL_CUTS))
        for moment, record in enumerate(log[: max(moments) + 1]):
            if moment in moments:
                cut = shared_memory / f"{synchronous}-{moment}"
                lay_out(platter.kept(chance), cut)
                await check_opened(cut, said, forgetful=False)
            follower.apply(record)
            said.hear(record)
        assert len(said.stored) > 100


@pytest.mark.parametrize("synchronous", ["full", "extra", "normal"])
async def test_power_cuts_cost_nothing_that_was_committed(disk: Path, shared_memory: Path, synchronous: str) -> None:
    """Cuts at random moments of two boots, the second on what a cut of the first has left."""
    chance = random.Random(synchronous)
    said, files, states = Promises(), {}, 0
    for number, boot in enumerate(("b0", "b1")):
        folder = shared_memory / boot
        lay_out(files, folder)
        log = recorded(disk, folder, boot, synchronous)
        platter = Platter({str(folder / Path(name).name): content for name, content in files.items()})
        follower = Follower(platter)
        moments = set(chance.sample(range(len(log) - len(log) // 4), CALL_CUTS))
        for moment, record in enumerate(log[: max(moments) + 1]):
            if moment in moments:
                files = platter.cut(chance, chance.choice([512, 4096]))
                cut = shared_memory / f"cut{number}-{moment}"
                lay_out(files, cut)
                await check_opened(cut, said, synchronous == "normal")
                states += 1
            follower.apply(record)
            said.hear(record)
    assert states == 2 * CALL_CUTS
    assert len(said.stored) > 300
    assert len(said.deleted) > 100


# -- disks that lie


async def lying(tmp_path: Path, chance: random.Random, order: str) -> tuple[list[Path], set[Name], list[set[Name]]]:
    """Folders as cuts leave them on a disk whose last syncs did nothing; all that was put, and what each commit had left."""
    states: list[set[Name]] = [set()]
    put: set[Name] = set()
    folders: list[Path] = []
    with sqlite_disk() as under:
        async with working(tmp_path / "o.db", chance) as rig:
            witness = Witness(rig)
            commit = rig.outbox._writer.store.commit

            async def noting(change: Change) -> None:
                await commit(change)
                states.append(set(witness.before.values()))
                put.update(witness.before.values())

            rig.outbox._writer.store.commit = noting  # type: ignore[method-assign]
            await rig.outbox._writer.store._rows("PRAGMA wal_autocheckpoint = 20")
            seqs = dict.fromkeys(range(4), 0)
            await work(rig, chance, 5, seqs)
            for number in range(80):
                await work(rig, chance, 1, seqs)
                folder = tmp_path / f"cut{number}"
                if order == "kept":
                    lay_out(under.platter.before_syncs(chance.randrange(1, 12)), folder)
                else:
                    under.power_cut(folder, chance, lies=chance.randrange(1, 12))
                folders.append(folder)
                (folder / "o.db.lock").touch()
    return folders, put, states


async def all_delivered(rig: Rig) -> list[Message]:
    """Everything there is, loss messages left out; a message that is counted and does not come is a TimeoutError."""
    messages = await rig.drain()
    rig.outbox.set_live(True)
    for _ in range(2):
        await rig.commit()
        messages += await rig.drain()
    assert rig.outbox.stats.messages == 0
    return [m for m in messages if m.topic != "g/event"]


@pytest.mark.parametrize("order", ["kept", "lost"])
async def test_after_a_cut_on_a_disk_that_lies_what_is_missing_is_told_or_the_file_is_an_older_one(
    tmp_path: Path, order: str
) -> None:
    """The last syncs did nothing. A disk that writes in order has an older file, whole, and nothing can tell: a subscriber
    sees it by the numbers. One that does not has a torn file: it is set aside, and what was lost is told as far as it can be
    known. Nothing is invented, nothing comes twice within one drain, and nothing is counted that never comes."""
    folders, put, states = await lying(tmp_path, random.Random(order), order)
    damaged = older = told = 0
    for folder in folders:
        async with Rig(folder / "o.db", "later") as rig:
            names = [(m.boot, m.topic, m.seq) for m in await all_delivered(rig)]
            assert len(names) == len(set(names))
            assert set(names) <= put
            assert rig.outbox.stats.refused == ""
            if rig.events:
                (event,) = rig.events
                assert event.state == "damaged"
                assert event.rescued == len(names)
                declared = sum(loss.count for loss in rig.losses.encoded)
                if event.lost is not None:
                    assert event.lost == declared + event.unknown
                damaged, told = damaged + 1, told + (declared > 0)
            elif order == "kept":
                assert set(names) in states
                older += set(names) != states[-1]
    assert (damaged == 0 and older > 20) if order == "kept" else (damaged > 5 and told > 0)


@pytest.mark.parametrize("backlog_order", ["oldest-first", "newest-first"])
async def test_a_torn_file_that_is_too_large_to_be_checked_when_it_is_opened_shows_in_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backlog_order: str
) -> None:
    """As above: what the index hides and what totals count too much is found out when nothing more can be loaded."""
    folders, put, _ = await lying(tmp_path, random.Random(backlog_order), "lost")
    monkeypatch.setattr(counted_rows, "CHECKED_WHOLE_BYTES", 0)
    damaged = told = 0
    for folder in folders:
        async with Rig(folder / "o.db", "later", backlog_order=backlog_order) as rig:
            names = [(m.boot, m.topic, m.seq) for m in await all_delivered(rig)]
            assert len(names) == len(set(names))
            assert set(names) <= put
            assert rig.outbox.stats.refused == ""
            assert set(rig.states) <= {"damaged"}
            losses = [loss for loss in rig.losses.encoded if loss.detail != "checksum wrong"]
            if all(event.lost is not None for event in rig.events):
                said = sum(event.lost - event.unknown for event in rig.events)
                assert said == sum(loss.count for loss in losses)
            damaged, told = damaged + bool(rig.events), told + bool(losses)
    assert damaged > 5
    assert told > 0


# -- disks with bad places


@pytest.mark.parametrize("moment", ["start", "use"])
async def test_a_part_of_the_file_that_cannot_be_read_costs_what_lies_there(tmp_path: Path, moment: str) -> None:
    """The file is set aside; all other rows are rescued, and those that cannot be read are declared, topic by topic."""
    path = tmp_path / "o.db"
    async with Rig(path, "b0") as rig:
        for seq in range(1, 2501):
            for device in ("d0", "d1"):
                rig.outbox.put(message(seq, topic=f"g/{device}/window", boot="b0", size=1000))
        await rig.commit()
    with sqlite_disk() as under:
        inode, size = path.stat().st_ino, path.stat().st_size
        place = size // 4 // 4096 * 4096
        if moment == "start":
            under.bad = [(inode, place, place + 40 * 4096)]
        async with Rig(path, "b1") as rig:
            await rig.outbox._writer.store._rows("PRAGMA cache_size = 10")
            under.bad = [(inode, place, place + 40 * 4096)]
            found = [m for m in await rig.drain() if m.topic != "g/event"]
            assert rig.states == ["damaged"]
            assert any(said in str(rig.events[0].reason) for said in ("I/O", "unable to get the page"))
            rig.outbox.set_live(True)
            await rig.commit()
            losses = rig.losses.encoded
            found += [m for m in await rig.drain() if m.topic != "g/event"]
            rig.outbox.put(message(1))
            await rig.commit()
            assert rig.outbox.stats.refused == ""
    for device in ("d0", "d1"):
        there = {m.seq for m in found if m.topic == f"g/{device}/window"}
        (loss,) = (x for x in losses if x.topic == f"g/{device}/window")
        missing = set(range(1, 2501)) - there
        assert 20 < len(missing) < 200
        assert loss.count == len(missing)
        assert loss.first_seq <= min(missing)
        assert loss.last_seq >= max(missing)
    assert rig.events[0].unknown == 0


async def test_a_disk_of_which_nothing_can_be_read_is_waited_for_and_costs_nothing(tmp_path: Path) -> None:
    """Memory takes over, whatever the disk does to every new file; when it is well again all is there, old and new."""
    path = tmp_path / "o.db"
    async with Rig(path, "b0") as rig:
        for seq in range(1, 101):
            rig.outbox.put(message(seq, boot="b0"))
    with sqlite_disk() as under:
        under.before = lambda operation: IOERR_READ if operation == "read" else OK
        async with Rig(path, "b1") as rig:
            for seq in range(1, 11):
                rig.outbox.put(message(seq, boot="b1"))
                await rig.commit()
            assert rig.outbox.stats.refused
            assert len(list(tmp_path.glob("o.db.damaged-*"))) <= 3, "one file and its log; the new ones were never used"
            assert "damaged" not in rig.states
            under.before = lambda operation: OK
            await rig.advance(3)
            assert rig.states[-1] == "recovered"
            found = {(m.boot, m.seq) for m in await rig.drain()}
            assert found == {("b0", seq) for seq in range(1, 101)} | {("b1", seq) for seq in range(1, 11)}
            assert rig.losses.encoded == []


async def test_a_file_written_again_that_is_damaged_at_once_does_not_end_the_gateway(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "o.db"
    async with Rig(path) as rig:
        for seq in range(1, 101):
            rig.outbox.put(message(seq))
        await rig.commit()
        store = rig.outbox._writer.store
        write_again = store.write_again

        async def damaged(most_s: float) -> None:
            await write_again(most_s)
            content = bytearray(path.read_bytes())
            content[4096 * 5 : 4096 * 9] = random.Random(1).randbytes(4 * 4096)
            path.write_bytes(content)

        monkeypatch.setattr(store, "write_again", damaged)
        for part in ("", "-wal", "-shm"):
            path.with_name(path.name + part).unlink()
        for seq in range(101, 104):
            rig.outbox.put(message(seq))
            await rig.commit()
        assert "damaged" in rig.states
        assert rig.outbox.stats.refused == ""
        rig.outbox.set_live(True)
        await rig.commit()
        found = [m.seq for m in await rig.drain() if m.topic != "g/event"]
        assert len(found) == len(set(found))
        assert len(found) + sum(loss.count for loss in rig.losses.encoded) == 103
        assert {101, 102, 103} <= set(found)
