"""Watermarks in a real outbox: when they are on the disk, and what of them survives which accident."""

import asyncio
import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from gateway.core.clock import SystemClock
from gateway.core.errors import Retryable
from gateway.core.ports.watermarks import StoredWatermark
from gateway.outbox.database.inspect import inspection
from gateway.outbox.database.schema import MIGRATIONS, SIGN
from gateway.outbox.database.sqlite_errors import DamagedError
from gateway.outbox.records import Usage
from tests.support.outbox_parts import Rig, message

KEY = "opcua/limit/plc"
CERTAIN, UNCERTAIN = StoredWatermark(b"1"), StoredWatermark(b"1", is_certain=False)
LOST = StoredWatermark(b"", is_certain=False)


async def left(path, **changes) -> StoredWatermark | None:
    """What the next run finds."""
    async with Rig(path, "b9", **changes) as rig:
        return rig.outbox.watermarks.load(KEY)


async def kept(rig: Rig, value: bytes = b"1") -> bool:
    rig.outbox.watermarks.put(KEY, value)
    return await asyncio.wait_for(rig.outbox.watermarks.flush(KEY), 10)


async def test_what_was_flushed_survives_a_crash(tmp_path):
    rig = Rig(tmp_path / "o.db")
    async with rig:
        rig.outbox.set_live(True)
        assert await kept(rig)
        await rig.crash()
        assert await left(tmp_path / "o.db") == CERTAIN


async def test_a_flush_does_not_write_messages_that_may_still_be_delivered(tmp_path):
    async with Rig(tmp_path / "o.db") as rig:
        rig.outbox.set_live(True)
        rig.outbox.put(message(1))
        assert await kept(rig)
        assert rig.on_disk == 0


async def test_what_was_put_is_committed_within_three_seconds_though_nothing_else_is(tmp_path):
    rig = Rig(tmp_path / "o.db")
    async with rig:
        rig.outbox.set_live(True)
        rig.outbox.watermarks.put(KEY, b"1")
        await rig.advance(3)
        assert rig.outbox.watermarks.is_durable(KEY)
        await rig.crash()
        assert await left(tmp_path / "o.db") == CERTAIN


async def test_with_a_long_commit_interval_as_well(tmp_path):
    async with Rig(tmp_path / "o.db", clock=SystemClock(), commit_interval="60s") as rig:
        assert await kept(rig)
        rig.outbox.watermarks.put(KEY, b"2")


async def test_what_was_put_before_a_stop_is_written_by_the_stop(tmp_path):
    async with Rig(tmp_path / "o.db") as rig:
        rig.outbox.watermarks.put(KEY, b"1")
    assert await left(tmp_path / "o.db") == CERTAIN


async def test_a_commit_costs_one_page_whatever_the_number_of_devices(tmp_path):
    async with Rig(tmp_path / "o.db") as rig:
        rig.outbox.set_live(True)
        keys = [f"opcua/limit/plc{i}" for i in range(20)]
        marks = rig.outbox.watermarks
        for key in keys:
            marks.put(key, bytes(100))
        assert await marks.flush(keys[-1])
        before = (tmp_path / "o.db-wal").stat().st_size
        for key in keys:
            marks.put(key, bytes(101))
        assert await marks.flush(keys[0])
        assert (tmp_path / "o.db-wal").stat().st_size - before == 4096 + 24


async def test_with_synchronous_normal_the_log_is_synced_all_the_same(tmp_path, monkeypatch):
    async with Rig(tmp_path / "o.db", synchronous="normal") as rig:
        asked = []
        rows = rig.outbox._writer.store._rows

        async def noting(sql, values=()):
            asked.append(sql)
            return await rows(sql, values)

        monkeypatch.setattr(rig.outbox._writer.store, "_rows", noting)
        assert await kept(rig)
        rig.outbox.put(message(1))
        await rig.commit()
        assert [sql for sql in asked if "synchronous" in sql] == [
            "PRAGMA synchronous = full",
            "PRAGMA synchronous = normal",
        ]


def refusing(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    async def refuse(*_: object) -> None:
        raise Retryable("database or disk is full")

    monkeypatch.setattr(rig.outbox._writer.store, "commit", refuse)
    return monkeypatch


async def test_a_crash_while_the_disk_refuses_leaves_an_uncertain_watermark(tmp_path, monkeypatch):
    """The database says something that does not hold any more, and a bit beside it says so."""
    rig = Rig(tmp_path / "o.db")
    async with rig:
        assert await kept(rig)
        with monkeypatch.context() as patch:
            refusing(rig, patch)
            assert not await kept(rig, b"2")
            await rig.crash()
        assert await left(tmp_path / "o.db") == UNCERTAIN
        assert await left(tmp_path / "o.db") == UNCERTAIN, "it is in the database by now"
        assert not Rig(tmp_path / "o.db").outbox._lock.in_doubt


async def test_a_disk_that_is_back_makes_the_next_content_certain(tmp_path, monkeypatch):
    rig = Rig(tmp_path / "o.db")
    async with rig:
        with monkeypatch.context() as patch:
            refusing(rig, patch)
            assert not await kept(rig)
        await rig.commit()
        assert await kept(rig)
        assert not rig.outbox._lock.in_doubt
        await rig.crash()
        assert await left(tmp_path / "o.db") == CERTAIN


async def test_a_file_that_is_moved_away_takes_no_watermark_with_it(tmp_path):
    rig = Rig(tmp_path / "o.db")
    async with rig:
        assert await kept(rig)
        (tmp_path / "o.db").rename(tmp_path / "elsewhere")
        await rig.commit()
        await rig.crash()
        assert await left(tmp_path / "o.db") == CERTAIN


def damage(path, needle: bytes) -> None:
    """Overwrite the page that has `needle`, in the file itself."""
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = path.read_bytes()
    page = content.index(needle) // 4096 * 4096
    path.write_bytes(content[:page] + b"\xa5" * 4096 + content[page + 4096 :])


async def test_a_file_that_is_damaged_while_it_is_open_leaves_the_watermark_to_the_new_one(tmp_path, monkeypatch):
    path = tmp_path / "o.db"
    rig = Rig(path)
    async with rig:
        assert await kept(rig)
        with monkeypatch.context() as patch:

            async def broken(*_: object) -> None:
                raise DamagedError("database disk image is malformed")

            patch.setattr(rig.outbox._writer.store, "commit", broken)
            rig.outbox.put(message(1))
            await rig.commit()
        await rig.commit()
        await rig.advance(3)
        assert list(tmp_path.glob("o.db.damaged-*"))
        await rig.crash()
        assert await left(path) == CERTAIN


async def test_what_is_rescued_from_a_file_found_damaged_is_uncertain(tmp_path):
    """It may be of any moment: all that could have been handed on since is a hole."""
    path = tmp_path / "o.db"
    async with Rig(path) as rig:
        for seq in range(200):
            rig.outbox.put(message(seq, size=1000))
        assert await kept(rig)
    damage(path, b"window 100 ")
    assert await left(path) == UNCERTAIN
    assert await left(path) == UNCERTAIN, "also for the run after"
    async with Rig(path, "b3") as rig:
        assert await kept(rig)
    assert await left(path) == CERTAIN


async def test_what_cannot_be_rescued_is_reported_as_lost(tmp_path):
    path = tmp_path / "o.db"
    async with Rig(path) as rig:
        for seq in range(200):
            rig.outbox.put(message(seq, size=1000))
        assert await kept(rig)
    damage(path, KEY.encode())
    assert await left(path) == LOST


async def test_a_watermark_with_a_flipped_bit_is_lost(tmp_path):
    path = tmp_path / "o.db"
    async with Rig(path) as rig:
        assert await kept(rig)
    with sqlite3.connect(path) as db:
        db.execute("UPDATE watermark SET value = ?", (b"3",))
    assert await left(path) == LOST


@contextmanager
def disk_that_refuses_to_open(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The outbox's file cannot be opened meanwhile."""

    async def refuse(*_: object) -> None:
        raise Retryable("disk I/O error")

    with monkeypatch.context() as patch:
        patch.setattr(rig.outbox._writer.store, "open", refuse)
        yield


async def test_a_file_that_cannot_be_opened_at_the_start_is_lost_for_who_asks_then(tmp_path, monkeypatch):
    path = tmp_path / "o.db"
    async with Rig(path) as rig:
        assert await kept(rig)
    rig = Rig(path)
    with disk_that_refuses_to_open(rig, monkeypatch):
        await rig.outbox.open()
        assert rig.outbox.watermarks.load(KEY) == LOST
        rig.outbox.watermarks.put(KEY, b"2")
        assert not await rig.outbox.watermarks.flush(KEY)
    await rig.outbox.close()
    assert await left(path) == StoredWatermark(b"2", is_certain=False)


def of_version_3(path) -> None:
    """A file as the version before made it, with one message."""
    with sqlite3.connect(path, isolation_level=None) as db:
        db.execute(SIGN)
        db.execute("PRAGMA journal_mode = WAL")
        for number, statements in enumerate(MIGRATIONS[:3], 1):
            for statement in statements:
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {number}")
    db.close()


async def test_a_file_of_the_version_before_opens_and_has_no_watermarks(tmp_path):
    path = tmp_path / "o.db"
    of_version_3(path)
    async with Rig(path) as rig:
        assert rig.outbox.watermarks.load(KEY) is None
        assert await kept(rig)
    assert await left(path) == CERTAIN


async def test_a_file_of_the_version_before_can_be_looked_into_without_a_gateway(tmp_path):
    path = tmp_path / "o.db"
    of_version_3(path)
    with inspection(path) as look:
        assert sum(count for count, _ in look.totals().values()) == 0


async def test_a_kill_at_any_moment_leaves_what_was_durable_or_newer(tmp_path):
    """The child prints each number once its flush has returned."""
    for turn in range(4):
        code = (
            "import asyncio, sys\n"
            "from pathlib import Path\n"
            "from gateway.core.clock import SystemClock\n"
            "from tests.support.outbox_parts import Rig\n"
            "async def main():\n"
            f"    async with Rig(Path({str(tmp_path / 'o.db')!r}), 'k{turn}', SystemClock()) as rig:\n"
            "        rig.outbox.set_live(True)\n"
            "        for k in range(10**6):\n"
            f"            rig.outbox.watermarks.put({KEY!r}, b'%d' % k)\n"
            f"            assert await rig.outbox.watermarks.flush({KEY!r})\n"
            "            print(k, flush=True)\n"
            "asyncio.run(main())\n"
        )
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE, env=os.environ
        )
        lines = [int(await asyncio.wait_for(child.stdout.readline(), 60)) for _ in range(5 + 7 * turn)]
        child.kill()
        lines += [int(line) for line in (await child.stdout.read()).split()]
        await child.wait()
        found = await left(tmp_path / "o.db")
        assert found is not None
        assert found.is_certain
        assert lines[-1] <= int(found.value) <= lines[-1] + 1


async def test_a_crash_right_after_a_damaged_file_was_replaced_finds_the_watermark(tmp_path, monkeypatch):
    """The new file has it before anything that takes its time is copied."""
    path = tmp_path / "o.db"
    rig = Rig(path)
    async with rig:
        assert await kept(rig)
        with monkeypatch.context() as patch:
            commit = rig.outbox._writer.store.commit

            async def broken(change) -> None:
                patch.setattr(rig.outbox._writer.store, "commit", commit)
                raise DamagedError("database disk image is malformed")

            patch.setattr(rig.outbox._writer.store, "commit", broken)
            rig.outbox.put(message(1))
            assert await rig.outbox._writer.commit()
        assert list(tmp_path.glob("o.db.damaged-*"))
        await rig.crash()
        assert await left(path) == CERTAIN


async def test_a_stop_without_room_for_messages_leaves_the_limit_of_before(tmp_path, monkeypatch):
    """What a source puts at its end says that all it handed on is there; here it is not."""
    path = tmp_path / "o.db"
    async with Rig(path) as rig:
        assert await kept(rig)
        usage = rig.outbox._writer.store.usage
        monkeypatch.setattr(rig.outbox._writer.store, "usage", lambda: Usage(usage().used, usage().file, usage().wal, 0))
        rig.outbox.put(message(1, size=50_000))
        rig.outbox.watermarks.put(KEY, b"2")
    assert rig.outbox.unsaved == 1
    monkeypatch.undo()
    assert await left(path) == CERTAIN


async def test_what_was_lost_for_who_asked_stays_lost_when_the_disk_is_back(tmp_path, monkeypatch):
    """Who was told so goes on from nothing: what it puts must not be read together with what an earlier run left."""
    path = tmp_path / "o.db"
    async with Rig(path) as rig:
        assert await kept(rig)
    rig = Rig(path)
    with disk_that_refuses_to_open(rig, monkeypatch):
        await rig.outbox.open()
        assert rig.outbox.watermarks.load(KEY) == LOST
    await rig.outbox._writer.commit()
    await rig.crash()
    assert await left(path) == LOST


async def test_a_start_in_doubt_on_a_disk_that_still_refuses_reports_the_run_before(tmp_path, monkeypatch):
    path = tmp_path / "o.db"
    rig = Rig(path)
    async with rig:
        assert await kept(rig)
        refusing(rig, monkeypatch)
        assert not await kept(rig, b"2")
        await rig.crash()
    rig = Rig(path, "b2")
    refusing(rig, monkeypatch)
    await rig.outbox.open()
    monkeypatch.undo()
    unclean = rig.outbox.unclean
    await rig.outbox.close()
    assert [one.boot for one in unclean] == ["b1"]
    assert await left(path) == UNCERTAIN
