"""A disk that fails at every call in turn, once or until it is well: memory takes over, and nothing goes unaccounted."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.disk import Calls, preloaded

FULL = Calls.WRITES | Calls.OPENS | Calls.TRUNCATES
EVERY = Calls.WRITES | Calls.SYNCS | Calls.OPENS | Calls.TRUNCATES
READ_ONLY = Calls.WRITES | Calls.OPENS | Calls.TRUNCATES | Calls.NAMES

CASES = [
    ("use", "ENOSPC", FULL, -1),
    ("use", "ENOSPC", FULL, 1),
    ("use", "EIO", EVERY, -1),
    ("use", "EIO", EVERY, 1),
    ("use", "EIO", Calls.SYNCS, 1),
    ("use", "EROFS", READ_ONLY, -1),
    ("start", "ENOSPC", FULL, -1),
    ("start", "EIO", EVERY, 1),
]


def outcomes(disk: Path, folder: Path, when: str, error: str, calls: Calls, count: int) -> list[dict[str, Any]]:
    arguments = [folder, str(int(calls)), error, str(count), when]
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.outbox_failing", *arguments],
        env=preloaded(disk, folder),
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]  # others are of the log


@pytest.mark.parametrize(("when", "error", "calls", "count"), CASES, ids=lambda value: str(value).replace("Calls.", ""))
def test_failing_at_the_nth_call(disk: Path, shared_memory: Path, when: str, error: str, calls: Calls, count: int) -> None:
    """The gateway goes on from bounded memory, says so once, recovers by itself, and the ledger is complete."""
    found = outcomes(disk, shared_memory, when, error, calls, count)
    for outcome in found:
        assert outcome["states"] in ([], ["refused", "recovered"]), outcome
        assert outcome["refused_at_last"] == "", outcome
        assert not outcome["invented"], outcome
        assert not outcome["twice"], outcome
        assert not outcome["unexplained"], outcome
        assert outcome["most_memory"] <= 2**20, outcome
    assert len(found) > (10 if calls == Calls.SYNCS else 80)
    assert [outcome["after"] for outcome in found] == list(range(len(found)))
    assert found[-1]["met"] <= found[-1]["after"], "every call has had its turn"
    hit = [outcome for outcome in found if outcome["states"]]
    assert len(hit) >= len(found) * 0.4, "a checkpoint may fail unnoticed once, and is made up for"
    assert count == 1 or any(outcome["lost"] for outcome in hit), "memory was full, too"
