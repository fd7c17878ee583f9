"""The gateway's own files are for its user only, whatever the umask, and no link leads what is written elsewhere."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from gateway.core.errors import ConfigError
from gateway.layouts.sparkplug.bd_seq_counter import BdSeqCounter
from gateway.outbox.dead_letters import DeadLetters
from gateway.outbox.lock import PathLock
from tests.support.outbox_parts import NOW_NS, Rig, message

DOUBT = b"watermarks uncertain"


@pytest.fixture
def open_umask() -> Iterator[None]:
    """Nothing is taken from the rights of new files."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("open_umask")
async def test_every_file_is_for_its_user_only(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "o.db"
    async with Rig(path) as rig:
        rig.outbox.set_live(True)
        rig.outbox.put(message(1))
        rig.outbox.refuse((await rig.outbox.fetch(1))[0], "no")
        rig.outbox.put(message(2))
        await rig.commit()
        BdSeqCounter(path.with_name("o.db.bdseq")).next()
        modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
        assert set(modes) >= {"o.db", "o.db-wal", "o.db.lock", "o.db.refused.jsonl", "o.db.bdseq"}
        assert set(modes.values()) == {0o600}
    assert path.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.usefixtures("open_umask")
async def test_files_that_others_could_read_are_closed_at_the_start(tmp_path: Path) -> None:
    async with Rig(tmp_path / "o.db") as rig:
        rig.outbox.put(message(1))
    for file in tmp_path.iterdir():
        file.chmod(0o644)
    async with Rig(tmp_path / "o.db", "b2") as rig:
        assert [m.seq for m in await rig.drain()] == [1]
        assert {file.stat().st_mode & 0o777 for file in tmp_path.iterdir()} == {0o600}


@pytest.mark.parametrize("name", ["o.db", "o.db.lock"])
async def test_a_link_in_place_of_database_or_lock_stops_the_start_and_its_target_stays(tmp_path: Path, name: str) -> None:
    target = tmp_path / "precious"
    target.write_text("precious")
    rig = Rig(tmp_path / "o.db")  # the configuration refuses a link as well
    (tmp_path / name).symlink_to(target)
    with pytest.raises(ConfigError, match=rf"{name} is a symbolic link"):
        await rig.outbox.open()
    assert target.read_text() == "precious"


async def test_links_in_place_of_what_is_refused_lead_nowhere(tmp_path: Path) -> None:
    """The line waits in memory, and the counter of Sparkplug counts without its file."""
    target = tmp_path / "precious"
    target.write_text("precious")
    (tmp_path / "o.db.refused.jsonl").symlink_to(target)
    (tmp_path / "counter.new").symlink_to(target)
    file = DeadLetters(tmp_path / "o.db")
    file.add(message(1), "no", NOW_NS)
    await file.write()
    assert BdSeqCounter(tmp_path / "counter").next() == 0
    assert target.read_text() == "precious"
    (tmp_path / "o.db.refused.jsonl").unlink()
    await file.write()
    assert b'"seq":1' in (tmp_path / "o.db.refused.jsonl").read_bytes()


async def test_a_newer_gateways_file_is_refused_and_the_note_of_doubt_stays(tmp_path: Path) -> None:
    async with Rig(tmp_path / "o.db") as rig:
        rig.outbox.put(message(1))
    lock = PathLock(tmp_path / "o.db")
    lock.acquire()
    lock.note_doubt(True)
    lock.release()
    with closing(sqlite3.connect(tmp_path / "o.db")) as db, db:
        db.execute("PRAGMA user_version = 99")
    rig = Rig(tmp_path / "o.db", "b2")
    with pytest.raises(ConfigError, match="newer gateway"):
        await rig.outbox.open()
    assert DOUBT in (tmp_path / "o.db.lock").read_bytes()


@pytest.mark.parametrize("content", [b"4711\n", None])
async def test_a_lock_that_an_older_gateway_cut_leaves_watermarks_in_doubt(tmp_path: Path, content: bytes | None) -> None:
    """Gateways before schema 4 cut the file to their pid before they refuse the database; people remove it."""
    async with Rig(tmp_path / "o.db") as rig:
        rig.outbox.put(message(1))
    lock = PathLock(tmp_path / "o.db")
    lock.acquire()
    assert not lock.in_doubt
    lock.release()
    (tmp_path / "o.db.lock").unlink()
    if content:
        (tmp_path / "o.db.lock").write_bytes(content)
    lock = PathLock(tmp_path / "o.db")
    lock.acquire()
    assert lock.in_doubt
    lock.release()
    again = PathLock(tmp_path / "o.db")
    again.acquire()
    assert again.in_doubt, "until it is noted in the database"
    again.release()


async def test_a_first_start_is_in_no_doubt(tmp_path: Path) -> None:
    lock = PathLock(tmp_path / "o.db")
    lock.acquire()
    assert not lock.in_doubt
    lock.release()
