"""Loopback helpers."""

import asyncio
import contextlib
import itertools
import os
import socket
import time
from collections.abc import Callable, Iterator
from typing import Final

PATIENCE: Final = 3
"""How many times longer than on an idle machine things may take: a test says what happens, and not how fast."""


def free_port() -> int:
    """A TCP port on 127.0.0.1 that nothing listens on at this moment, and that no outgoing connection gets meanwhile.

    It lies below those that Linux gives to connections (32768 to 60999), and each process of a run has its own part of them,
    so that nobody takes it before it is listened on.
    """
    for port in _ports:
        with socket.socket() as s, contextlib.suppress(OSError):
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do
            s.bind(("127.0.0.1", port))
            return port
    raise AssertionError("the ports never end")


def _own_ports() -> Iterator[int]:
    """Yield the ports of this process, round and round."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw9").removeprefix("gw")) % _PARTS
    size = (_LAST_PORT - _FIRST_PORT) // _PARTS
    begin = os.getpid() % size  # another run on the machine begins elsewhere
    yield from (_FIRST_PORT + worker * size + (begin + turn) % size for turn in itertools.count())


_FIRST_PORT, _LAST_PORT, _PARTS = 12_000, 32_000, 10
_ports = _own_ports()


async def until(
    condition: Callable[[], object], deadline_s: float = 10.0, what: str | Callable[[], str] = "condition"
) -> None:
    """Return once `condition()` is true; AssertionError with `what`, made then, after `deadline_s` of an idle machine."""
    end = time.monotonic() + PATIENCE * deadline_s
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline_s} s: {what if isinstance(what, str) else what()}")
        await asyncio.sleep(0.005)
