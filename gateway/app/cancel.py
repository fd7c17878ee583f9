"""Cancel tasks within a limit of time."""

import asyncio
from collections.abc import Sequence
from typing import Any

import structlog

log = structlog.get_logger("app")


async def cancel(tasks: Sequence["asyncio.Task[Any]"], most_s: float) -> None:
    """Cancel and wait for at most `most_s` seconds: a stop must end within systemd's TimeoutStopSec."""
    for task in tasks:
        task.cancel()
    if tasks:
        _, slow = await asyncio.wait(tasks, timeout=most_s)
        for task in slow:
            log.error("does not stop", task=task.get_name())
