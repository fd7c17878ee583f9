"""Windows of runs that replaced some are never merged; those of all others are."""

from pathlib import Path

import pytest

from gateway.app.replaced_runs import merge_of
from gateway.core.messages import Lane, Message


def of(boot: str) -> list[Message]:
    return [Message("t", boot, seq, Lane.WINDOW, 0, 1, b"{}") for seq in (1, 2)]


def merge(messages):
    return messages[:1]


def test_only_runs_that_replaced_are_left_alone(tmp_path: Path) -> None:
    outbox = tmp_path / "outbox.db"
    assert merge_of(outbox, "a", merge, replaces=False) is merge
    assert merge_of(outbox, "b", merge, replaces=True) is None
    assert merge_of(outbox, "c", merge, replaces=True) is None
    now = merge_of(outbox, "d", merge, replaces=False)
    assert now is not None
    assert {boot: len(now(of(boot))) for boot in "abcd"} == {"a": 1, "b": 0, "c": 0, "d": 1}
    assert now([]) == []


@pytest.mark.parametrize("content", [b"", b"{", b"{}", b"\xff"])
def test_what_is_not_known_is_not_merged(tmp_path: Path, content: bytes) -> None:
    """Of this run it is."""
    (tmp_path / "outbox.db.replaced").write_bytes(content)
    now = merge_of(tmp_path / "outbox.db", "d", merge, replaces=False)
    assert now is not None
    assert (len(now(of("a"))), len(now(of("d")))) == (0, 1)


def test_a_folder_that_is_not_there_stops_nobody(tmp_path: Path) -> None:
    (tmp_path / "none").write_text("a file")
    assert merge_of(tmp_path / "none" / "outbox.db", "a", merge, replaces=True) is None
