import os
import sqlite3

import pytest

from gateway.core.errors import ConfigError
from gateway.outbox.database.schema import APPLICATION_ID, MIGRATIONS, VERSION, identify, steps
from gateway.outbox.database.sqlite_errors import DamagedError


def run(db, transactions):
    for transaction in transactions:
        for statement in transaction:
            db.execute(statement)


@pytest.mark.parametrize("version", range(VERSION))
def test_every_earlier_version_migrates_to_the_newest(tmp_path, version):
    """The tables come out the same whatever they started as."""
    old, new = (sqlite3.connect(tmp_path / name, isolation_level=None) for name in ("old", "new"))
    run(old, steps(0, MIGRATIONS[:version]))
    run(old, steps(version))
    run(new, steps(0))
    ask = "SELECT name, sql FROM sqlite_schema ORDER BY name"
    assert old.execute(ask).fetchall() == new.execute(ask).fetchall()
    assert old.execute("PRAGMA user_version").fetchone() == (VERSION,)
    old.close()
    new.close()


def test_a_migration_is_one_transaction_and_only_the_missing_ones_run():
    assert list(steps(1, [("A",), ("B", "C"), ("D",)])) == [
        ("BEGIN IMMEDIATE", "B", "C", "PRAGMA user_version = 2", "COMMIT"),
        ("BEGIN IMMEDIATE", "D", "PRAGMA user_version = 3", "COMMIT"),
    ]


def database(path, application=APPLICATION_ID, version=VERSION):
    db = sqlite3.connect(path)
    db.execute(f"PRAGMA application_id = {application}")
    db.execute(f"PRAGMA user_version = {version}")
    db.execute("CREATE TABLE t (x)")
    db.close()
    return path


def test_missing_empty_and_own_files_pass(tmp_path):
    (tmp_path / "empty").touch()
    assert not identify(tmp_path / "missing")
    assert not identify(tmp_path / "empty")
    assert identify(database(tmp_path / "own"))


@pytest.mark.parametrize("content", [b"hello", b"\0" * 8192, b"SQLite format 3\0short"])
def test_what_is_no_database_is_damaged(tmp_path, content):
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(DamagedError):
        identify(tmp_path / "x")


def test_a_newer_schema_is_refused_and_nothing_is_touched(tmp_path):
    path = database(tmp_path / "x", version=VERSION + 1)
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="newer gateway"):
        identify(path)
    assert path.read_bytes() == before


def test_another_programs_database_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="another program"):
        identify(database(tmp_path / "x", application=0))


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="no regular file"):
        identify(tmp_path / "pipe")


def test_a_version_that_never_was_is_another_programs(tmp_path):
    with pytest.raises(ConfigError, match="another program"):
        identify(database(tmp_path / "x", version=-1))
