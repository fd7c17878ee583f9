"""Where logs go, and how a line looks there."""

import logging
import os
import re
import sys
from collections.abc import Iterator

import pytest
import structlog

from gateway.__main__ import _configure_logs
from gateway.cli import logs


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()


def written(monkeypatch: pytest.MonkeyPatch, *, journal: bool) -> list[str]:
    reading, writing = os.pipe()
    found = os.fstat(writing)
    monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino + (not journal)}")
    with open(reading) as read, open(writing, "w") as stderr:
        monkeypatch.setattr(sys, "stderr", stderr)
        logs.configure(logs.LogLevel.debug, logs.LogFormat.auto)
        log = structlog.get_logger("test")
        log.debug("one")
        log.info("two", reason="a b")
        log.warning("three")
        try:
            raise ValueError("why")
        except ValueError:
            log.exception("four")
        logging.getLogger("library").critical("five")
        monkeypatch.undo()
        stderr.close()
        return read.read().splitlines()


def test_the_journal_is_told_each_line_s_priority(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = written(monkeypatch, journal=True)
    assert [line[:3] for line in lines if "event=" in line] == ["<7>", "<6>", "<4>", "<3>", "<2>"]
    assert all(line.startswith("<") for line in lines)
    assert 'level=info logger=gateway.test event=two reason="a b"' in lines[1]


def test_a_file_or_another_program_is_told_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert all(line.startswith("timestamp=") for line in written(monkeypatch, journal=False))


FORGED = "Basic256\u2028<3>level=error event=forged\x85<3>x\r\n<3>y\x0b<3>z \x1b[2J\x9b31m\u202egnp.exe\udc80"


@pytest.mark.parametrize("style", [logs.LogFormat.plain, logs.LogFormat.console, logs.LogFormat.json])
@pytest.mark.parametrize("journal", [True, False])
def test_no_text_of_a_peer_becomes_a_record_of_its_own_or_reaches_the_terminal(
    monkeypatch: pytest.MonkeyPatch, style: logs.LogFormat, journal: bool
) -> None:
    reading, writing = os.pipe()
    found = os.fstat(writing)
    monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino + (not journal)}")
    with open(reading, "rb") as read, open(writing, "w") as stderr:
        monkeypatch.setattr(sys, "stderr", stderr)
        logs.configure(logs.LogLevel.debug, style)
        structlog.get_logger("test").warning(FORGED, reason=FORGED, devices=[FORGED], **{FORGED: 1})
        logging.getLogger("library").error("policy %s", FORGED)
        monkeypatch.undo()
        stderr.close()
        text = read.read().decode()
    records = text.removesuffix("\n").split("\n")
    assert len(records) == len(text.splitlines()) == 2
    assert [record[:3] for record in records] == (["<4>", "<3>"] if journal else [record[:3] for record in records])
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text) if style is logs.LogFormat.console else text  # the renderer's own colours
    assert plain.replace("\n", "").isprintable()
    assert "\\u202e" in plain, "the raw form stays readable"


def test_a_traceback_s_lines_cannot_be_taken_for_entries_and_fit_one_record(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    with open(reading) as read, open(writing, "w") as stderr:
        monkeypatch.setattr(sys, "stderr", stderr)
        logs.configure(logs.LogLevel.debug, logs.LogFormat.plain)
        try:
            raise ValueError("x" * 10_000 + "\n2026-11-30 [info] forged \x1b]0;title\x07")
        except ValueError:
            structlog.get_logger("test").exception("bug", reason="y" * 10_000)
        monkeypatch.undo()
        stderr.close()
        (line,) = read.read().splitlines()
    assert len(line.encode()) < 48 * 1024
    assert line.isprintable()


def test_what_is_logged_during_a_command_goes_to_standard_error_cleaned_from_warnings_on(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with open(os.dup(2), "w") as stderr:
        monkeypatch.setattr(sys, "stderr", stderr)
        _configure_logs(["gateway", "discover", "opc.tcp://h"])
        structlog.get_logger("opcua").info("not shown")
        structlog.get_logger("opcua").warning("shown", reason=FORGED)
        logging.getLogger("asyncua").warning("policy %s", FORGED)
        monkeypatch.undo()
    out, err = capfd.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 2
    assert err.replace("\n", "").isprintable()
