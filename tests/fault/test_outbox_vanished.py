"""A backlog that vanishes while the gateway is stopped is told, with its topics; one that is there is not."""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from gateway.core.messages import Lane
from tests.support.outbox_parts import Rig, message


async def filled(path: Path, boot: str, first: int, count: int) -> None:
    async with Rig(path, boot) as rig:
        for seq in range(first, first + count):
            rig.outbox.put(message(seq, boot="b"))
        rig.outbox.put(message(first, Lane.EVENT, boot="b"))


def states(rig: Rig) -> list[tuple[object, object, object]]:
    return [(e.state, e.lost, e.unknown) for e in rig.events]  # type: ignore[attr-defined]


async def declared(rig: Rig) -> list[tuple[str, int, int, int]]:
    rig.outbox.set_live(True)
    await rig.commit()
    return sorted((x.topic, x.first_seq, x.last_seq, x.count) for x in rig.losses.encoded)


def deleted(path: Path) -> None:
    for part in ("", "-wal", "-shm"):
        path.with_name(path.name + part).unlink(missing_ok=True)


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def rows_deleted(path: Path) -> None:
    """A clean file of an earlier time, as a restored backup is."""
    shutil.copy(path.with_name("older.db"), path)


@pytest.mark.parametrize("gone", [deleted, emptied])
async def test_a_file_that_is_gone_is_declared_by_topic(tmp_path: Path, gone: Callable[[Path], None]) -> None:
    path = tmp_path / "o.db"
    await filled(path, "b1", 1, 10)
    gone(path)
    async with Rig(path, "b2") as rig:
        assert states(rig) == [("vanished", 11, 0)]
        assert await declared(rig) == [("g/press/event", 1, 1, 1), ("g/press/window", 1, 10, 10)]
        assert {x.cause for x in rig.losses.encoded} == {"damaged"}
        assert "while the gateway was stopped" in rig.losses.encoded[0].detail
        await rig.drain()
    async with Rig(path, "b3") as rig:
        assert rig.events == [], "told once"
        assert await declared(rig) == []


async def test_an_older_copy_lacks_what_came_since(tmp_path: Path) -> None:
    path = tmp_path / "o.db"
    await filled(path, "b1", 1, 10)
    shutil.copy(path, tmp_path / "older.db")
    await filled(path, "b2", 11, 5)
    rows_deleted(path)
    async with Rig(path, "b3") as rig:
        assert states(rig) == [("vanished", 6, 0)]
        assert await declared(rig) == [("g/press/event", 2, 11, 1), ("g/press/window", 11, 15, 5)]


async def test_a_write_ahead_log_that_is_removed_after_a_crash_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "o.db"
    await filled(path, "b1", 1, 10)
    async with Rig(path, "b2") as rig:
        for seq in range(11, 21):
            rig.outbox.put(message(seq, boot="b"))
        await rig.commit()
        for part in ("", "-wal"):
            shutil.copy(f"{path}{part}", tmp_path / f"crashed.db{part}")
        shutil.copy(f"{path}.lock", tmp_path / "crashed.db.lock")
    (tmp_path / "crashed.db-wal").unlink()
    async with Rig(tmp_path / "crashed.db", "b3") as rig:
        assert states(rig) == [("vanished", 10, 0)]
        assert await declared(rig) == [("g/press/window", 11, 20, 10)]


async def test_what_was_delivered_or_is_there_is_not_missed(tmp_path: Path) -> None:
    """Deliveries, crashes, restarts, an empty outbox that is deleted: no word."""
    path = tmp_path / "o.db"
    await filled(path, "b1", 1, 10)
    async with Rig(path, "b2") as rig:
        rig.outbox.put(message(11, boot="b"))
        await rig.commit()
        acknowledged = await rig.outbox.fetch(5)
        for delivery in acknowledged:
            rig.outbox.ack(delivery)
        await rig.commit()
        await rig.crash()
        async with Rig(path, "b3") as after:
            assert after.events == []
            assert len(await after.drain()) == 12 - len(acknowledged)
    deleted(path)
    async with Rig(path, "b4") as rig:
        assert rig.events == []
        assert await declared(rig) == []


async def test_a_file_from_before_witnesses_opens_without_a_word(tmp_path: Path) -> None:
    path = tmp_path / "o.db"
    await filled(path, "b1", 1, 10)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("ALTER TABLE total DROP COLUMN commits")
        db.execute("PRAGMA user_version = 5")
    lock = tmp_path / "o.db.lock"
    lock.write_bytes(lock.read_bytes()[:4096])
    async with Rig(path, "b2") as rig:
        assert rig.events == []
        assert len(await rig.drain()) == 11


async def test_what_many_topics_had_is_counted_though_not_all_can_be_named(tmp_path: Path) -> None:
    path = tmp_path / "o.db"
    async with Rig(path, "b1") as rig:
        for device in range(200):
            rig.outbox.put(message(1, topic=f"plant/v1/gateway/device{device}/window"))
    deleted(path)
    async with Rig(path, "b2") as rig:
        ((state, lost, unknown),) = states(rig)
        assert (state, lost) == ("vanished", 200)
        assert len(await declared(rig)) == 200 - unknown >= 20
