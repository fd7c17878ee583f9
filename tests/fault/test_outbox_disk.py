"""A disk that is full, read-only, failing or locked: the gateway goes on from memory, says so once, and recovers."""

import asyncio
import resource
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

import pytest

from gateway.core.errors import ConfigError
from tests.support.absent import absent
from tests.support.network import until
from tests.support.outbox_parts import Rig, message


@contextmanager
def no_file_beyond(size: int) -> Iterator[None]:
    """Every write past `size` bytes of any file of this process fails (EFBIG; SQLite: I/O error)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def put_and_commit(rig: Rig, first: int, count: int, size: int = 1000) -> None:
    for seq in range(first, first + count):
        rig.outbox.put(message(seq, size=size))
    await rig.commit()


@pytest.mark.parametrize("limit", ["PRAGMA max_page_count = 100", "PRAGMA query_only = ON"])
async def test_a_full_or_read_only_database(tmp_path: Path, limit: str) -> None:
    async with Rig(tmp_path / "o.db") as rig:
        await put_and_commit(rig, 1, 100)
        store = rig.outbox._writer.store
        await store._rows(limit)
        await put_and_commit(rig, 101, 1000)
        await put_and_commit(rig, 1101, 10)
        assert rig.states == ["refused"]
        assert rig.on_disk == 100
        await store._rows("PRAGMA max_page_count = 1000000000")
        await store._rows("PRAGMA query_only = OFF")
        await rig.commit()
        assert rig.states == ["refused", "recovered"]
        assert [m.seq for m in await rig.drain()] == list(range(1, 1111))


async def test_write_errors(tmp_path: Path) -> None:
    async with Rig(tmp_path / "o.db") as rig:
        await put_and_commit(rig, 1, 100)
        with no_file_beyond(300_000):
            await put_and_commit(rig, 101, 1000)
            assert rig.states == ["refused"]
            got = (await rig.outbox.fetch(1))[0]
            assert got.message.seq == 1, "what is on disk can still be read"
            rig.outbox.release([got])
        await rig.commit()
        assert rig.states == ["refused", "recovered"]
        assert [m.seq for m in await rig.drain()] == list(range(1, 1101))


async def test_a_stop_while_the_disk_refuses_says_what_is_lost(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "o.db")
    async with rig:
        await put_and_commit(rig, 1, 10)
        await rig.outbox._writer.store._rows("PRAGMA query_only = ON")
        await put_and_commit(rig, 11, 5)
    assert rig.outbox.unsaved == 5
    async with Rig(tmp_path / "o.db", boot="b2") as rig:
        assert rig.outbox.unclean, "the next run tells that this one ended badly"
        assert [m.seq for m in await rig.drain()] == list(range(1, 11))


async def test_a_disk_full_at_the_start_does_not_keep_the_gateway_from_starting(tmp_path: Path) -> None:
    async with Rig(tmp_path / "o.db", "b0") as rig:
        await put_and_commit(rig, 1, 20)
    with ExitStack() as full:
        full.enter_context(no_file_beyond(4096))
        async with Rig(tmp_path / "o.db") as rig:
            assert rig.states == ["refused"]
            rig.outbox.put(message(21))
            full.close()
            await rig.commit()
            assert rig.states == ["refused", "recovered"]
            assert [m.seq for m in await rig.drain()] == list(range(1, 22))


async def test_a_database_locked_by_another_program(tmp_path: Path) -> None:
    async with Rig(tmp_path / "o.db") as rig:
        await put_and_commit(rig, 1, 1)
        await rig.outbox._writer.store._rows("PRAGMA busy_timeout = 10")
        with closing(sqlite3.connect(tmp_path / "o.db")) as other:
            other.execute("BEGIN IMMEDIATE")
            await put_and_commit(rig, 2, 1)
            assert rig.states == ["refused"]
            assert "locked" in rig.outbox.stats.refused
        await rig.commit()
        assert rig.on_disk == 2


async def test_a_database_locked_by_another_process_for_a_while(tmp_path: Path) -> None:
    """What comes meanwhile waits in memory; once the lock is gone it is written, and nothing is damaged."""
    async with Rig(tmp_path / "o.db") as rig:
        await put_and_commit(rig, 1, 100)
        await rig.outbox._writer.store._rows("PRAGMA busy_timeout = 10")
        script = (
            "import sqlite3,sys; d=sqlite3.connect(sys.argv[1]); d.execute('BEGIN IMMEDIATE'); print(1,flush=True); input()"
        )
        with subprocess.Popen(
            [sys.executable, "-c", script, tmp_path / "o.db"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as other:
            assert other.stdout is not None
            other.stdout.readline()
            await put_and_commit(rig, 101, 100)
            assert (rig.states, rig.on_disk) == (["refused"], 100)
            taken = await rig.outbox.fetch(10)
            assert [d.message.seq for d in taken] == list(range(1, 11)), "what is on disk can be delivered all the same"
            rig.outbox.release(taken)
            other.communicate(b"\n")
        await rig.advance(2)
        assert rig.states == ["refused", "recovered"]
        assert [m.seq for m in await rig.drain()] == list(range(1, 201))


async def test_a_path_that_cannot_be_written_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"set another outbox\.path"):
        await Rig(Path("/proc/gateway/o.db")).outbox.open()
    (tmp_path / "o.db.lock").mkdir()
    with pytest.raises(ConfigError, match=r"set another outbox\.path"):
        await Rig(tmp_path / "o.db").outbox.open()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 12 MiB."""
    where = tmp_path / "disk"
    where.mkdir()
    if (
        not shutil.which("mount")
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", where], capture_output=True, check=False
        ).returncode
    ):
        absent("root, to mount a small file system (the tests above fill the disk in other ways)")
    yield where
    subprocess.run(["umount", "-l", where], check=True)


def remount(where: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", where], check=True)


@pytest.mark.parametrize("clean", [True, False])
async def test_a_disk_that_is_read_only_at_the_start(small_disk: Path, clean: bool) -> None:
    """A file system mounted read-only after an error does not stop the gateway; once it is mended the backlog is there."""
    async with Rig(small_disk / "o.db", "b0") as rig:
        await put_and_commit(rig, 1, 20)
        if not clean:
            await rig.crash()
    remount(small_disk, "ro")
    async with Rig(small_disk / "o.db") as rig:
        assert rig.states == ["refused"]
        rig.outbox.set_live(True)
        rig.outbox.put(message(21))
        rig.outbox.put(message(22))
        first = await rig.outbox.fetch(1)
        rig.outbox.ack(first[0])
        await rig.commit()
        assert rig.states == ["refused"]
        with pytest.raises(ConfigError, match="held by another gateway"):
            await Rig(small_disk / "o.db").outbox.open()
        remount(small_disk, "rw")
        await rig.commit()
        assert rig.states == ["refused", "recovered"]
        assert [m.seq for m in await rig.drain()] == [22, *range(1, 21)]


async def test_a_first_start_on_a_read_only_disk_is_a_configuration_error(small_disk: Path) -> None:
    remount(small_disk, "ro")
    with pytest.raises(ConfigError, match=r"Read-only file system.*set another outbox\.path"):
        await Rig(small_disk / "o.db").outbox.open()


async def test_a_database_locked_by_another_process_for_longer_than_its_patience(tmp_path: Path) -> None:
    """Two seconds (busy_timeout) and more: the event loop goes on meanwhile, and so do live messages."""
    script = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1], isolation_level=None); db.execute('BEGIN EXCLUSIVE')"
    async with Rig(tmp_path / "o.db") as rig:
        await put_and_commit(rig, 1, 10)
        command = [sys.executable, "-u", "-c", f"{script}; print('locked'); sys.stdin.read()", tmp_path / "o.db"]
        other = await asyncio.create_subprocess_exec(*command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert other.stdin
        assert other.stdout
        await other.stdout.readline()
        rig.outbox.set_live(True)
        committing = asyncio.create_task(put_and_commit(rig, 11, 2))
        await until(lambda: rig.outbox._writer._disk.locked(), what="the commit waits for the lock")
        (first,) = await asyncio.wait_for(rig.outbox.fetch(1), 1)
        rig.outbox.ack(first)
        assert rig.events == []
        await committing
        await rig.commit()
        assert rig.states == ["refused"]
        assert "locked" in rig.outbox.stats.refused
        other.stdin.close()
        await other.wait()
        await rig.commit()
        assert rig.states == ["refused", "recovered"]
        assert [m.seq for m in await rig.drain()] == [12, *range(1, 11)]


def fill_up(path: Path) -> None:
    with suppress(OSError), path.open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass


async def test_a_file_system_that_fills_up_and_is_freed(small_disk: Path) -> None:
    async with Rig(small_disk / "o.db", keep_free="1B", memory="4MiB") as rig:
        await put_and_commit(rig, 1, 100)
        fill_up(small_disk / "logs")
        for first in range(101, 10_101, 1000):
            await put_and_commit(rig, first, 1000)
        assert rig.states == ["refused"]
        assert rig.outbox.stats.memory_bytes <= 4 * 2**20
        (small_disk / "logs").unlink()
        await rig.commit()
        assert rig.states == ["refused", "recovered"]
        delivered = await rig.drain()
        rig.outbox.set_live(True)
        await rig.commit()
        assert len(delivered) + sum(loss.count for loss in rig.losses.encoded) == 10_100


async def test_keep_free_leaves_the_last_space_to_others(small_disk: Path) -> None:
    async with Rig(small_disk / "o.db", keep_free="2MiB") as rig:
        for first in range(1, 12_001, 1000):
            await put_and_commit(rig, first, 1000)
            assert shutil.disk_usage(small_disk).free >= 2 * 2**20
        delivered = await rig.drain()
        rig.outbox.set_live(True)
        await rig.commit()
        assert {loss.cause for loss in rig.losses.encoded} <= {"disk_free"}
        assert len(delivered) + sum(loss.count for loss in rig.losses.encoded) == 12_000
