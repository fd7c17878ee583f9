"""When a gateway starts anew by itself."""

import asyncio

import pytest

from gateway.runtime.restart import EVERY_S, MOST_S, RestartSchedule
from tests.support.clock import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


async def is_due(restarts: RestartSchedule) -> bool:
    task = asyncio.create_task(restarts.due())
    for _ in range(5):
        await asyncio.sleep(0)
    done = task.done()
    task.cancel()
    return done


async def test_the_first_is_made_at_once_the_next_not_before_five_minutes(clock: FakeClock) -> None:
    restarts = RestartSchedule(clock)
    assert not await is_due(restarts)
    restarts.request("line")
    restarts.request("oven")
    assert await restarts.due() == "the tags of line, oven have changed"
    restarts.restarting("why")
    assert restarts.reason == "why"
    assert not await is_due(restarts)
    restarts.request("line")
    await clock.advance(EVERY_S - 1)
    assert not await is_due(restarts)
    await clock.advance(2)
    assert await restarts.due() == "the tags of line have changed"
    restarts.withdraw()
    assert not await is_due(restarts)


async def test_tags_that_never_come_to_rest_are_taken_less_and_less_often(clock: FakeClock) -> None:
    """A device asks at every moment; a day later it has cost a dozen starts, and after some calm it is quick again."""
    restarts, waits = RestartSchedule(clock), []
    for _ in range(14):
        waits.append(restarts.request("line"))
        await clock.advance(waits[-1])
        restarts.restarting(await restarts.due())
    minutes = [0, 5, 5, 10, 20, 40, 80, 160, 320, 640, 1280, 1440, 1440, 1440]
    assert [wait_s / 60 for wait_s in waits] == minutes
    await clock.advance(2 * MOST_S + 1)
    assert restarts.request("line") == 0
    restarts.restarting("why")
    assert restarts.request("line") == EVERY_S


def test_a_restart_that_has_to_wait_says_for_how_long(clock: FakeClock) -> None:
    restarts = RestartSchedule(clock)
    waits = [restarts.request("press")]
    restarts.restarting("why")
    assert [*waits, restarts.request("press")] == [0, 300]
