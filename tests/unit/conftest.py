"""Unit tests are unit tests: what opens a socket, a database or a process fails by itself."""

import socket
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

_numbers = count()


@pytest.fixture
def tmp_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder: as pytest's own, which looks for a free name among all others and links to the newest each time."""
    path = tmp_path_factory.getbasetemp() / f"test{next(_numbers)}"
    path.mkdir()
    return path


FORBIDDEN = {
    "socket.__new__": "a socket",
    "socket.bind": "a socket",
    "socket.connect": "a socket",
    "socket.getaddrinfo": "a look-up of a host's name",
    "sqlite3.connect": "a database",
    "subprocess.Popen": "a process",
    "os.fork": "a process",
    "os.forkpty": "a process",
    "os.posix_spawn": "a process",
    "os.system": "a process",
}
"""Audit events (docs.python.org/3/library/audit_events.html) and what they mean here."""

_breaches: list[str] = []
_watched = False


def _audit(event: str, args: tuple[object, ...]) -> None:
    if not _watched or event not in FORBIDDEN:
        return
    if event == "socket.__new__" and args[1] == socket.AF_UNIX:
        return  # the pair by which an event loop wakes itself; bind and connect are events of their own
    message = f"{FORBIDDEN[event]} in a unit test: such a test belongs to tests/integration"
    _breaches.append(message)
    raise AssertionError(message)


sys.addaudithook(_audit)


def pytest_runtest_setup() -> None:
    """Watch a test from here on, with its fixtures."""
    global _watched
    _breaches.clear()
    _watched = True


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown() -> Iterator[None]:
    """Fail a test that opened sockets, databases or processes, even where the code under test outlived the error."""
    global _watched
    try:
        return (yield)
    finally:
        _watched = False
        if _breaches:
            pytest.fail(_breaches[0], pytrace=False)
