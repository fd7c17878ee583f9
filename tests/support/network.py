"""Loopback helpers."""

import asyncio
import socket
import time
from collections.abc import Callable
from typing import Final

PATIENCE: Final = 3
"""How many times longer than on an idle machine things may take: a test says what happens, and not how fast."""


def free_port() -> int:
    """A TCP port on 127.0.0.1 that nothing listens on at this moment."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


async def until(
    condition: Callable[[], object], deadline_s: float = 10.0, what: str | Callable[[], str] = "condition"
) -> None:
    """Return once `condition()` is true; AssertionError with `what`, made then, after `deadline_s` of an idle machine."""
    end = time.monotonic() + PATIENCE * deadline_s
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline_s} s: {what if isinstance(what, str) else what()}")
        await asyncio.sleep(0.005)
