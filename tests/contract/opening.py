"""What `open` promises, of a sink and of a client of a broker alike."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from gateway.core.errors import NotConnected

Open = Callable[[], Awaitable[None]]


async def refused_open_says_why(open_: Open) -> None:
    """Fail unless an open that the far end refuses raises NotConnected with a reason."""
    with pytest.raises(NotConnected) as caught:
        await open_()
    assert str(caught.value)


async def open_is_cancellable(open_: Open) -> None:
    """Fail unless an open that has begun ends at once when it is cancelled."""
    attempt = asyncio.ensure_future(open_())
    await asyncio.sleep(0)
    attempt.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(attempt, 1)
