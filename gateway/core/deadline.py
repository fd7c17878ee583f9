"""A limit of time around calls of libraries."""

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
