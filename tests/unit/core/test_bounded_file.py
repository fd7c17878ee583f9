"""Files that somebody names: never waited for, never larger than the memory should hold."""

import os
from pathlib import Path

import pytest

from gateway.core.bounded_file import read_bounded
from gateway.core.errors import ConfigError
from gateway.outbox.database.encryption import encryption_of


def test_a_regular_file_up_to_the_ceiling_is_read(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"x" * 100)
    assert read_bounded(tmp_path / "key", 100) == b"x" * 100
    with pytest.raises(OSError, match="is larger than"):
        read_bounded(tmp_path / "key", 99)


def test_pipes_and_devices_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path):
        with pytest.raises(OSError, match=r"no regular file|directory"):
            read_bounded(path)


def test_a_key_file_that_never_ends_is_a_problem_of_the_configuration() -> None:
    with pytest.raises(ConfigError, match=r"outbox\.key_file: cannot read /dev/zero: is no regular file"):
        encryption_of("/dev/zero")
