"""A limit of time that knows every kind of cancellation."""

import asyncio

import pytest

from gateway.core.deadline import deadline


class OfALibraryError(asyncio.CancelledError):
    """As wait_for2 has one."""


async def slow() -> None:
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        raise OfALibraryError from None


async def test_what_takes_too_long_is_a_timeout_whatever_the_library_makes_of_it() -> None:
    with pytest.raises(TimeoutError):
        async with deadline(0.01):
            await slow()


async def test_a_cancellation_from_outside_stays_one() -> None:
    async def work() -> None:
        async with deadline(60):
            await slow()

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()


async def test_in_time_nothing_happens_and_errors_pass() -> None:
    async with deadline(None):
        await asyncio.sleep(0)
    with pytest.raises(KeyError):
        async with deadline(1):
            raise KeyError
