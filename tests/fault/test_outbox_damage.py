"""A damaged file is set aside and told; the gateway starts, or goes on, with what it has."""

import asyncio
import os
import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from gateway.core.errors import ConfigError, Retryable
from gateway.core.messages import Message
from gateway.outbox.database.sqlite_errors import DamagedError
from gateway.outbox.lock import PathLock
from gateway.outbox.recovery import damaged_reader
from tests.support.network import until
from tests.support.outbox_parts import Rig, message


async def filled(path: Path, count: int = 3000) -> None:
    async with Rig(path, "b0") as rig:
        for seq in range(1, count + 1):
            rig.outbox.put(message(seq, boot="b0", size=1000))


def overwrite(path: Path, at: float, length: int, content: bytes | None = None) -> None:
    with path.open("r+b") as file:
        file.seek(int(path.stat().st_size * at) // 4096 * 4096)
        file.write(content or random.Random(1).randbytes(length))


def not_sqlite(path: Path) -> None:
    path.write_bytes(b"no database at all" * 1000)


def truncated(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def shorter_than_a_header(path: Path) -> None:
    os.truncate(path, 50)


def zeros_at_the_start(path: Path) -> None:
    overwrite(path, 0, 8192, bytes(8192))


def random_in_the_middle(path: Path) -> None:
    overwrite(path, 0.5, 100_000)


def random_in_a_quarter(path: Path) -> None:
    overwrite(path, 0.25, 100_000)


def cut_short(path: Path) -> None:
    os.truncate(path, path.stat().st_size * 3 // 4)


def without_tables(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("DROP TABLE total")
        db.commit()


# rows of three to a page; SQLite puts the inner pages of this table in the middle of the file, one beside the other, and
# the damage there begins behind the first of them
RESCUED = {
    random_in_a_quarter: range(2900, 2950),
    cut_short: range(2000, 2300),
    not_sqlite: range(1),
    truncated: range(1),
    shorter_than_a_header: range(1),
    zeros_at_the_start: range(1),
    random_in_the_middle: range(1400, 1500),
    without_tables: range(3000, 3001),
}


@pytest.mark.parametrize("damage", RESCUED)
async def test_a_file_damaged_before_the_start_is_kept_and_a_new_one_begun(tmp_path, damage):
    path = tmp_path / "o.db"
    await filled(path)
    damage(path)
    content = path.read_bytes()
    async with Rig(path) as rig:
        (event,) = rig.events
        assert (event.kind, event.state, event.severity) == ("outbox", "damaged", 800)
        kept = Path(str(event.kept))
        assert kept.name.startswith("o.db.damaged-2026")
        assert kept.read_bytes() == content or damage is without_tables
        rescued, lost = event.rescued, event.lost
        assert rescued in RESCUED[damage]
        assert lost in {None, 3000 - rescued}, "as the file itself says, where that can be read"
        rig.outbox.put(message(1))
        await rig.commit()
        assert rig.on_disk == rescued + 1
        found = {(m.boot, m.seq, len(m.payload)) for m in await rig.drain() if m.boot == "b0"}
        assert found <= {("b0", seq, 1000) for seq in range(1, 3001)}
        rig.outbox.set_live(True)
        await rig.commit()
        declared = sum(loss.count for loss in rig.losses.encoded)
        assert declared + (event.unknown or 0) == (lost or 0)
        assert {loss.cause for loss in rig.losses.encoded} <= {"damaged"}
        if damage in {random_in_a_quarter, cut_short}:
            assert declared == 3000 - rescued, "every one of them by boot, topic and span"


async def test_a_crash_while_a_damaged_file_is_mended_leaves_the_account_whole(tmp_path, monkeypatch):
    """What was not yet copied is declared lost already, and lies in the file that was set aside."""
    path = tmp_path / "o.db"
    await filled(path)
    random_in_a_quarter(path)
    rig, copied = Rig(path), 0
    store = rig.outbox._writer.store
    commit = store.commit

    async def full_after_two(change):
        nonlocal copied
        copied += bool(change.inserts)
        if copied > 1:
            raise Retryable("the disk is full")
        await commit(change)

    monkeypatch.setattr(store, "commit", full_after_two)
    async with rig:
        assert rig.states == ["damaged", "refused"]
        assert rig.events[0].lost is None
        assert rig.on_disk > 900
        there = rig.on_disk
        await rig.crash()
    async with Rig(path, "b2") as later:
        assert later.events == []
        later.outbox.set_live(True)
        await later.commit()
        ((boot, count),) = ((loss.boot, loss.count) for loss in later.losses.encoded)
        assert (boot, count) == ("b0", 3000 - there)


async def test_a_large_damaged_file_is_mended_beside_the_work(tmp_path, monkeypatch):
    """The start does not wait for it: what is copied later is delivered as well, and told at the end."""
    monkeypatch.setattr(damaged_reader, "BATCH_BYTES", 100_000)
    path = tmp_path / "o.db"
    await filled(path)
    random_in_a_quarter(path)
    rig = Rig(path, backlog_order="newest-first")
    rig.open_limits = {"rescue_s": 0.0, "salvage_s": 0.0}
    async with rig:
        assert [(e.state, e.lost) for e in rig.events] == [("damaged", None)]
        rig.outbox.set_live(True)
        rig.outbox.put(message(1))
        got = []
        for _ in range(200):
            await rig.commit()
            if rig.outbox.stats.messages:
                for delivery in await rig.outbox.fetch(1000):
                    got.append(delivery.message)
                    rig.outbox.ack(delivery)
            if "rescued" in rig.states and rig.losses.encoded:
                break
        got += await rig.drain()
        (rescued,) = (e.payload() for e in rig.events if e.state == "rescued")
        there = [m.seq for m in got if m.boot == "b0"]
        assert len(there) == len(set(there)) == rescued["rescued"] > 2800
        (loss,) = rig.losses.encoded
        assert (loss.count, rescued["lost"], rescued["unknown"]) == (3000 - len(there), 3000 - len(there), 0)


async def drain_into(rig: Rig, delivered: list[Message]) -> None:
    while True:
        for delivery in await rig.outbox.fetch(100):
            delivered.append(delivery.message)
            rig.outbox.ack(delivery)


async def test_damage_in_use_keeps_what_memory_has_and_counts_what_is_lost(tmp_path):
    """Pages under the running gateway turn to noise while backlog is drained."""
    path = tmp_path / "o.db"
    await filled(path, 20_000)
    async with Rig(path) as rig:
        rig.outbox.set_live(True)
        rig.outbox.put(message(1))
        flights = await rig.outbox.fetch(1)
        await rig.commit()
        await rig.outbox._writer.store._rows("PRAGMA wal_checkpoint(TRUNCATE)")
        overwrite(path, 0.3, 4_000_000)
        delivered: list[Message] = []
        drain = asyncio.create_task(drain_into(rig, delivered))
        await until(lambda: rig.events, what="the damage is met")
        rig.outbox.release(flights)
        await until(lambda: not rig.outbox.stats.messages, what="what memory has is delivered")
        drain.cancel()
        assert rig.states == ["damaged"]
        delivered = [m for m in delivered if m.topic != "g/event"]
        assert ("b1", 1) in {(m.boot, m.seq) for m in delivered}
        assert len({(m.boot, m.seq) for m in delivered}) == len(delivered)
        assert len(delivered) + rig.events[0].lost == 20_001
        assert rig.events[0].rescued > 10_000
        assert rig.events[0].unknown == 0
        missing = set(range(1, 20_001)) - {m.seq for m in delivered if m.boot == "b0"}
        (loss,) = rig.losses.encoded
        assert (loss.boot, loss.cause, loss.count) == ("b0", "damaged", len(missing))
        assert loss.first_seq <= min(missing)
        assert loss.last_seq == max(missing), "as rows after it could be read"
        rig.outbox.put(message(2))
        await rig.commit()
        assert rig.on_disk == 1
        assert Path(str(rig.events[0].kept)).stat().st_size > 10 * 2**20


async def test_a_damaged_row_is_one_loss_not_a_lost_file(tmp_path):
    path = tmp_path / "o.db"
    await filled(path, 10)
    with closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE message SET payload = zeroblob(1000) WHERE id = 4")
        db.commit()
    async with Rig(path) as rig:
        assert [m.seq for m in await rig.drain()] == [1, 2, 3, 5, 6, 7, 8, 9, 10]
        rig.outbox.set_live(True)
        await rig.commit()
        assert [(x.boot, x.first_seq, x.count, x.cause) for x in rig.losses.encoded] == [("b0", 4, 1, "damaged")]


def delete(path: Path) -> None:
    for part in ("", "-wal", "-shm"):
        path.with_name(path.name + part).unlink()


def move_away(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))


def replace(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.write_bytes(b"SQLite format 3\0" + bytes(5000))


@pytest.mark.parametrize("take_away", [delete, move_away, replace])
async def test_a_file_that_goes_under_the_gateway_is_written_again_whole(tmp_path, take_away):
    """It is still open, so nothing is lost: not what was on disk alone, in flight or acknowledged, nor losses."""
    path = tmp_path / "o.db"
    async with Rig(path, compress=True) as rig:
        for seq in range(1, 1001):
            rig.outbox.put(message(seq))
        await rig.commit()
        flights = await rig.outbox.fetch(10)
        rig.outbox.ack(flights[0])
        rig.outbox.refuse(flights[1], "no")
        take_away(path)
        rig.outbox.put(message(1001))
        await rig.commit()
        assert rig.states == ["moved"]
        assert (rig.events[0].kept == "") == (take_away is delete), "what lies there is set aside"
        rig.outbox.release(flights[2:])
        await rig.commit()
        assert rig.states == ["moved"]
        await rig.crash()
    async with Rig(path, "b2") as rig:
        assert [m.seq for m in await rig.drain()] == list(range(3, 1002))
        rig.outbox.set_live(True)
        await rig.commit()
        assert [(x.first_seq, x.cause) for x in rig.losses.encoded] == [(2, "refused")]


async def test_a_file_that_goes_while_nothing_is_to_be_written_is_noticed_within_an_interval(tmp_path):
    async with Rig(tmp_path / "o.db") as rig:
        rig.outbox.put(message(1))
        await rig.commit()
        delete(tmp_path / "o.db")
        await rig.advance(2)
        await until(lambda: rig.states == ["moved"], what="noticed")
        await rig.crash()
    async with Rig(tmp_path / "o.db", "b2") as rig:
        assert [m.seq for m in await rig.drain()] == [1]


async def test_a_folder_that_goes_is_waited_for_and_nothing_is_lost(tmp_path):
    (tmp_path / "disk").mkdir()
    async with Rig(tmp_path / "disk" / "o.db") as rig:
        rig.outbox.put(message(1))
        await rig.commit()
        (tmp_path / "disk").rename(tmp_path / "other")
        rig.outbox.put(message(2))
        await rig.advance(3)
        assert rig.states == ["refused"]
        (tmp_path / "disk").mkdir()
        await rig.advance(3)
        assert rig.states == ["refused", "moved", "recovered"]
        await rig.crash()
    async with Rig(tmp_path / "disk" / "o.db", "b2") as rig:
        assert [m.seq for m in await rig.drain()] == [1, 2]


async def test_a_lock_that_is_deleted_is_taken_again(tmp_path):
    path = tmp_path / "o.db"
    async with Rig(path) as rig:
        (tmp_path / "o.db.lock").unlink()
        await rig.advance(2)
        with pytest.raises(ConfigError, match="held by another gateway"):
            await Rig(path, "b2").outbox.open()


async def test_a_gateway_whose_place_was_taken_ends(tmp_path):
    """Two that write one file would be worse than none."""
    path = tmp_path / "o.db"
    rig = Rig(path)
    async with rig:
        (tmp_path / "o.db.lock").unlink()
        other = PathLock(path)
        other.acquire()
        assert rig._run is not None
        await rig.clock.advance(2)
        with pytest.raises(ConfigError, match="held by another gateway"):
            await rig._run
        rig._run = None
        other.release()


async def test_damage_of_the_new_file_during_the_rescue_does_not_end_the_gateway(tmp_path, monkeypatch):
    path = tmp_path / "o.db"
    await filled(path, 20_000)
    async with Rig(path) as rig:
        store = rig.outbox._writer.store
        await store._rows("PRAGMA wal_checkpoint(TRUNCATE)")
        overwrite(path, 0.3, 4_000_000)
        commit, failures = store.commit, iter([DamagedError("again")])

        async def damaged_once(change):
            if change.inserts and change.inserts[0].message.boot == "b0" and (error := next(failures, None)):
                raise error
            await commit(change)

        monkeypatch.setattr(store, "commit", damaged_once)
        delivered: list[Message] = []
        rig.outbox.set_live(True)
        drain = asyncio.create_task(drain_into(rig, delivered))
        await until(lambda: "damaged" in rig.states, what="the damage is met")
        rig.outbox.put(message(1))
        for _ in range(3):
            await rig.commit()
        await until(lambda: ("b1", 1) in {(m.boot, m.seq) for m in delivered}, what="the outbox goes on")
        assert rig.outbox.stats.refused == ""
        drain.cancel()
