"""Limits of time and cancellation around calls of libraries."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


@asynccontextmanager
async def deadline(seconds: float | None) -> AsyncIterator[None]:
    """Raise TimeoutError after so many seconds, also where a library raises a CancelledError of its own when cancelled.

    A library that waits by `wait_for2` raises CancelledWithResultError, which asyncio.timeout does not recognise as the
    effect of its own cancellation: instead of a TimeoutError the cancellation would go on, and silently end the
    caller's task.
    """
    async with asyncio.timeout(seconds):
        try:
            yield
        except asyncio.CancelledError as error:
            if type(error) is asyncio.CancelledError:
                raise
            raise asyncio.CancelledError from error


def end_if_cancelled() -> None:
    """Raise the CancelledError that a library has swallowed.

    asyncio.wait_for of Python 3.11 swallows it when its result comes in the same moment. A task
    that goes on although it was cancelled holds up the stop of the whole gateway.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
