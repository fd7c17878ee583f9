"""What people see, where it goes nowhere or to a narrow place."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.settings.folders import write

COMMAND = [sys.executable, "-m", "gateway"]


def check(folder: Path, **options: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([*COMMAND, "check", "--config", str(folder)], text=True, timeout=60, **options)  # type: ignore[call-overload]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a full disk at hand")
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
