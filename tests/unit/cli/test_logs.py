"""Where logs go, and how a line looks there."""

import logging
import os
import sys
from collections.abc import Iterator

import pytest
import structlog

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
