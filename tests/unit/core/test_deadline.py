"""A limit of time that knows every kind of cancellation."""

import asyncio
from contextlib import suppress

import pytest

from gateway.core.deadline import deadline, end_if_cancelled


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


async def swallowing() -> None:
    """As asyncio.wait_for of Python 3.11 when its answer comes in the same moment."""
    with suppress(asyncio.CancelledError):
        await asyncio.sleep(60)


async def test_a_cancellation_that_a_library_swallows_ends_its_caller_all_the_same() -> None:
    async def work() -> None:
        await swallowing()
        end_if_cancelled()
        raise AssertionError("goes on")

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_limit_of_time_that_a_library_swallows_is_a_timeout_all_the_same() -> None:
    async def work() -> None:
        async with deadline(0.01):
            await swallowing()
            end_if_cancelled()

    with pytest.raises(TimeoutError):
        await work()
    end_if_cancelled()
