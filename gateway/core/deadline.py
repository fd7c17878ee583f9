"""Limits of time and cancellation around calls of libraries."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


@asynccontextmanager
async def deadline(seconds: float | None) -> AsyncIterator[None]:
    """`asyncio.timeout`, also where a library raises a kind of CancelledError of its own when it is cancelled.

    asyncua waits by `wait_for2`, whose CancelledWithResultError asyncio.timeout does not know for its own doing: instead of
    a TimeoutError the cancellation would go on, and end the task of whoever asked, without a word.
    """
    async with asyncio.timeout(seconds):
        try:
            yield
        except asyncio.CancelledError as error:
            if type(error) is asyncio.CancelledError:
                raise
            raise asyncio.CancelledError from error


def end_if_cancelled() -> None:
    """Raise the CancelledError that a library has swallowed, as asyncio.wait_for of Python 3.11 does when its answer comes
    in the same moment (asyncua connects with it). Who is cancelled and goes on holds up the stop of the whole gateway."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
