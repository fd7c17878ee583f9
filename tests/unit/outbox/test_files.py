import os
from pathlib import Path

import pytest

from gateway.core.errors import ConfigError
from gateway.outbox.files import KEPT_DAMAGED, check_path, lock_file, make_folder, set_aside
from gateway.outbox.lock import PathLock
from tests.support.outbox_parts import NOW_NS

STAMP = "20260921T141320Z"


def test_the_second_holder_learns_file_and_pid(tmp_path):
    first, second = PathLock(tmp_path / "o.db"), PathLock(tmp_path / "o.db")
    first.acquire()
    with pytest.raises(ConfigError, match=rf"o\.db\.lock is held by another gateway \(pid {os.getpid()}\)"):
        second.acquire()
    first.release()
    second.acquire()
    second.release()


def test_a_folder_is_made(tmp_path):
    make_folder(tmp_path / "a" / "b" / "o.db")
    assert (tmp_path / "a" / "b").is_dir()


def test_an_impossible_folder_says_what_to_do(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"set another outbox\.path"):
        make_folder(tmp_path / "file" / "o.db")


def test_what_is_not_ours_is_left_alone(tmp_path):
    """A folder, a device, a pipe, somebody's notes, names that no file can have: refused before anything is touched."""
    notes = tmp_path / "notes.txt"
    notes.write_text("precious")
    os.mkfifo(tmp_path / "pipe")
    for path, words in (
        (tmp_path, "is a folder"),
        (Path("/dev/null"), "no regular file"),
        (tmp_path / "pipe", "no regular file"),
        (notes, "another program's file"),
        (tmp_path / ("x" * 300), "cannot be used"),
        (tmp_path / "a\0b", "cannot be used"),
    ):
        with pytest.raises(ConfigError, match=words):
            check_path(path)
    assert notes.read_text() == "precious"


def test_what_a_gateway_has_used_may_be_damaged_beyond_recognition(tmp_path):
    """An empty file, a database, no file, and garbage beside our lock: ours to open or to set aside."""
    path = tmp_path / "o.db"
    check_path(path)
    path.touch()
    check_path(path)
    path.write_bytes(b"SQLite format 3\0...")
    check_path(path)
    path.write_bytes(b"garbage")
    lock_file(path).touch()
    check_path(path)


def test_a_damaged_file_moves_with_its_log_and_says_when(tmp_path):
    for part in ("", "-wal", "-shm"):
        (tmp_path / f"o.db{part}").write_text(part)
    assert set_aside(tmp_path / "o.db", NOW_NS) == tmp_path / f"o.db.damaged-{STAMP}"
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"o.db.damaged-{STAMP}{p}" for p in ("", "-shm", "-wal")]


def test_a_missing_file_is_nothing_to_keep(tmp_path):
    assert set_aside(tmp_path / "o.db", NOW_NS) is None


def test_only_the_newest_damaged_files_stay(tmp_path):
    for i in range(KEPT_DAMAGED + 2):
        (tmp_path / "o.db").write_text(str(i))
        (tmp_path / "o.db-wal").touch()
        os.utime(tmp_path / "o.db", (1000 + i, 1000 + i))
        set_aside(tmp_path / "o.db", NOW_NS)
    kept = [p for p in tmp_path.glob("*.damaged-*") if not p.name.endswith("-wal")]
    assert sorted(p.read_text() for p in kept) == [str(i) for i in range(2, KEPT_DAMAGED + 2)]
    assert len(list(tmp_path.iterdir())) == 2 * KEPT_DAMAGED
