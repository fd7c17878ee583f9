"""What people see, where it goes nowhere or to a narrow place."""

import contextlib
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.settings.folders import write

COMMAND = [sys.executable, "-m", "gateway"]


def check(folder: Path, **options: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([*COMMAND, "check", "--config", str(folder)], text=True, timeout=60, **options)  # type: ignore[call-overload]


def test_a_full_disk_behind_a_command_is_told_in_one_line(tmp_path: Path) -> None:
    with open("/dev/full", "w") as full:
        done = check(write(tmp_path), stdout=full, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (1, "Cannot write the output: No space left on device\n")


def test_a_reader_that_has_gone_ends_a_command_without_a_word(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as pipe:
        done = check(write(tmp_path), stdout=pipe, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (1, "")


def test_closed_streams_are_no_error(tmp_path: Path) -> None:
    words = " ".join([*COMMAND, "check", "--config", str(write(tmp_path)), ">&-", "2>&-"])
    assert subprocess.run(["sh", "-c", words], timeout=60).returncode == 0


def test_a_narrow_terminal_does_not_cut_an_address(tmp_path: Path) -> None:
    done = check(write(tmp_path), capture_output=True, env=os.environ | {"COLUMNS": "40"})
    assert "  opc.tcp://10.0.0.6:4840  " in done.stdout
    assert f"Would keep in {Path('/var/lib/gateway/outbox.db')}" in done.stdout


def test_of_many_problems_the_first_are_shown_and_the_others_counted(tmp_path: Path) -> None:
    rows = "".join(f"t{n},nowhere:{n},uint16,\n" for n in range(1000))
    done = check(write(tmp_path, {"tags/press.csv": "name,address,type,unit\n" + rows}), capture_output=True)
    assert done.returncode == 2
    assert "... and 800 more" in done.stderr
    assert "1000 problems" in done.stderr


def on_a_terminal(script: str) -> str:
    """What a Python script shows on a terminal of 80 columns."""
    parent, child = pty.openpty()
    environ = os.environ | {"TERM": "xterm", "COLUMNS": "80"}
    with subprocess.Popen([sys.executable, "-c", script], stdin=child, stdout=child, stderr=child, env=environ) as process:
        os.close(child)
        shown = b""
        with contextlib.suppress(OSError):  # Linux: the other end has gone
            while part := os.read(parent, 65536):
                shown += part
        os.close(parent)
    assert process.returncode == 0
    return shown.decode()


WAITING = """
import time
from gateway.cli.output import waiting_for
with waiting_for("reading a great deal", after_s={after_s}):
    time.sleep({for_s})
"""


@pytest.mark.parametrize(("after_s", "for_s", "said"), [(0.01, 0.5, True), (60.0, 0.0, False)])
def test_what_takes_long_says_so_and_what_is_quick_does_not(after_s: float, for_s: float, said: bool) -> None:
    assert ("reading a great deal" in on_a_terminal(WAITING.format(after_s=after_s, for_s=for_s))) is said


def test_the_verdict_comes_last(tmp_path: Path) -> None:
    """And says how many warnings stand above it."""
    folder = write(tmp_path, {"tags/spare.csv": "name,address\n"})
    *_, warning, verdict = check(folder, capture_output=True).stdout.splitlines()
    assert warning == f"warning: {folder}/tags/spare.csv: no device uses this file"
    assert verdict.startswith(f"{folder} can be used (1 warning, configuration ")


@pytest.mark.parametrize(("command", "rows"), [("check", 3), ("plan", 6)])
def test_a_usual_terminal_is_wide_enough_for_the_tables_of_the_example(command: str, rows: int) -> None:
    words = [*COMMAND, command, "--config", str(Path(__file__).parents[3] / "config")]
    lines = subprocess.run(words, text=True, capture_output=True, env=os.environ | {"COLUMNS": "80"}).stdout.splitlines()
    assert max(len(line.rstrip()) for line in lines[:rows]) <= 80
    assert not any("\x1b" in line for line in lines)
