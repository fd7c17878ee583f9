import os

import pytest

from gateway.core.errors import ConfigError
from gateway.outbox.database.schema import identify, steps
from gateway.outbox.database.sqlite_errors import DamagedError


def test_a_migration_is_one_transaction_and_only_the_missing_ones_run():
    assert list(steps(1, [("A",), ("B", "C"), ("D",)])) == [
        ("BEGIN IMMEDIATE", "B", "C", "PRAGMA user_version = 2", "COMMIT"),
        ("BEGIN IMMEDIATE", "D", "PRAGMA user_version = 3", "COMMIT"),
    ]


@pytest.mark.parametrize("content", [b"hello", b"\0" * 8192, b"SQLite format 3\0short"])
def test_what_is_no_database_is_damaged(tmp_path, content):
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(DamagedError):
        identify(tmp_path / "x")


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="no regular file"):
        identify(tmp_path / "pipe")
