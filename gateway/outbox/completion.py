"""Operations that are completed whatever happens to their caller."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")


async def run_to_completion(operation: Coroutine[Any, Any, T]) -> T:
    """Await an operation that is completed even when the caller is cancelled; the cancellation goes on afterwards.

    A transaction left half-way would hold the database, and nobody would know what became of it.
    """
    task = asyncio.create_task(operation, name="outbox: disk")
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            with suppress(asyncio.CancelledError):  # the first one is raised below
                await asyncio.wait({task})
        raise
