"""When a gateway starts anew by itself."""

import asyncio

import pytest

from gateway.core.events.device import DeviceStateChanged
from gateway.runtime.restart import EVERY_S, MOST_S, Noticing, Renewal
from gateway.sources.opcua.source.events import ModelChanged
from tests.support.clock import FakeClock
from tests.unit.runtime.test_supervisor import Intake


def changed(device, **fields):
    more = {"added": 1, "removed": 0, "altered": 0, "names": ["x"], "restart": True} | fields
    return ModelChanged(time_ns=0, device=device, reason="", **more)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


async def is_due(renewal: Renewal) -> bool:
    task = asyncio.create_task(renewal.due())
    for _ in range(5):
        await asyncio.sleep(0)
    done = task.done()
    task.cancel()
    return done


async def test_the_first_is_made_at_once_the_next_not_before_five_minutes(clock: FakeClock) -> None:
    renewal = Renewal(clock)
    assert not await is_due(renewal)
    renewal.ask("line")
    renewal.ask("oven")
    assert await renewal.due() == "the tags of line, oven have changed"
    renewal.begin("why")
    assert renewal.reason == "why"
    assert not await is_due(renewal)
    renewal.ask("line")
    await clock.advance(EVERY_S - 1)
    assert not await is_due(renewal)
    await clock.advance(2)
    assert await renewal.due() == "the tags of line have changed"
    renewal.drop()
    assert not await is_due(renewal)


def test_only_changes_that_are_to_be_taken_at_once_ask_for_it(clock: FakeClock) -> None:
    intake, renewal = Intake(), Renewal(clock)
    noticing = Noticing(intake, renewal, ["press", "line"])
    events = [
        changed(1, restart=None),
        DeviceStateChanged(time_ns=0, device=1, state="ok", reason=""),
        changed(1),
    ]
    asked = []
    for event in events:
        noticing.event(event)
        asked.append(renewal._asked.is_set())
    assert asked == [False, False, True]
    assert intake.got == events, "all are handed on"


async def test_tags_that_never_come_to_rest_are_taken_less_and_less_often(clock: FakeClock) -> None:
    """A device asks at every moment; a day later it has cost a dozen starts, and after some calm it is quick again."""
    renewal, waits = Renewal(clock), []
    for _ in range(14):
        waits.append(renewal.ask("line"))
        await clock.advance(waits[-1])
        renewal.begin(await renewal.due())
    minutes = [0, 5, 5, 10, 20, 40, 80, 160, 320, 640, 1280, 1440, 1440, 1440]
    assert [wait_s / 60 for wait_s in waits] == minutes
    await clock.advance(2 * MOST_S + 1)
    assert renewal.ask("line") == 0
    renewal.begin("why")
    assert renewal.ask("line") == EVERY_S


def test_a_change_that_has_to_wait_says_for_how_long(clock: FakeClock) -> None:
    intake, renewal = Intake(), Renewal(clock)
    noticing = Noticing(intake, renewal, ["press"])
    noticing.event(changed(0))
    renewal.begin("why")
    noticing.event(changed(0))
    assert [event.restart_in_s for event in intake.got] == [None, 300]
