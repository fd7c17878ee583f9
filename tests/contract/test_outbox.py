"""What pipeline and publisher may rely on, whichever outbox is behind the ports."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.core.messages import Lane
from gateway.core.ports.outbox import Delivery
from gateway.outbox.outbox import Outbox
from tests.support.clock import settle
from tests.support.outbox_fake import FakeOutbox
from tests.support.outbox_parts import Rig, message

Either = FakeOutbox | Outbox


@pytest.fixture(params=["fake", "real"])
async def outbox(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Either]:
    """Each of the two, connected."""
    if request.param == "fake":
        fake = FakeOutbox()
        fake.set_live(True)
        yield fake
    else:
        async with Rig(tmp_path / "outbox.db") as rig:
            rig.outbox.set_live(True)
            yield rig.outbox


async def taken(outbox: Either, limit: int = 100) -> list[Delivery]:
    return await asyncio.wait_for(outbox.fetch(limit), 10)


def seqs(deliveries: list[Delivery]) -> list[int]:
    return [delivery.message.seq for delivery in deliveries]


async def test_take_waits_for_a_message(outbox: Either) -> None:
    """A publisher without work costs nothing and wakes at once."""
    waiting = asyncio.create_task(outbox.fetch(5))
    await settle()
    assert not waiting.done()
    outbox.put(message(1))
    assert seqs(await asyncio.wait_for(waiting, 10)) == [1]


async def test_take_returns_no_more_than_asked_for_and_nothing_twice(outbox: Either) -> None:
    """Each message is on loan once."""
    for seq in range(1, 8):
        outbox.put(message(seq))
    assert seqs(await taken(outbox, 3)) == [1, 2, 3]
    assert seqs(await taken(outbox, 100)) == [4, 5, 6, 7]


async def test_live_messages_leave_in_lane_order(outbox: Either) -> None:
    """Alarms overtake summaries, summaries overtake windows."""
    outbox.put(message(1, Lane.WINDOW))
    outbox.put(message(2, Lane.SUMMARY))
    outbox.put(message(3, Lane.EVENT))
    outbox.put(message(4, Lane.WINDOW))
    got = await taken(outbox)
    assert seqs(got) == [3, 2, 1, 4]
    assert all(delivery.live for delivery in got)


async def test_messages_put_without_a_connection_are_backlog(outbox: Either) -> None:
    """`hist` is decided by the connection, not by the wait."""
    outbox.set_live(False)
    outbox.put(message(1))
    outbox.set_live(True)
    outbox.put(message(2))
    assert [(d.message.seq, d.live) for d in await taken(outbox)] == [(2, True), (1, False)]


async def test_what_waits_when_the_connection_goes_becomes_backlog(outbox: Either) -> None:
    """A message is live over one connection only."""
    outbox.put(message(1))
    outbox.set_live(False)
    outbox.set_live(True)
    assert [d.live for d in await taken(outbox)] == [False]


async def test_released_messages_come_again_as_backlog_in_their_order(outbox: Either) -> None:
    """A cut connection neither loses nor reorders."""
    for seq in range(1, 6):
        outbox.put(message(seq))
    first = await taken(outbox)
    outbox.ack(first[1])
    outbox.release([first[4], first[0], first[3], first[2]])
    again = await taken(outbox)
    assert [(d.message.seq, d.live) for d in again] == [(1, False), (3, False), (4, False), (5, False)]


async def test_backlog_gives_events_first_then_the_oldest(outbox: Either) -> None:
    """After an outage alarms are known first."""
    outbox.set_live(False)
    for seq, lane in enumerate([Lane.WINDOW, Lane.SUMMARY, Lane.EVENT, Lane.WINDOW, Lane.EVENT], 1):
        outbox.put(message(seq, lane))
    assert seqs(await taken(outbox)) == [3, 5, 1, 2, 4]


async def test_an_ended_delivery_cannot_end_again(outbox: Either) -> None:
    """Exactly one ack, refuse or release: anything else is a bug and loud."""
    outbox.put(message(1))
    outbox.put(message(2))
    one, two = await taken(outbox)
    outbox.ack(one)
    outbox.refuse(two, "not allowed")
    for ended in (one, two):
        with pytest.raises(ValueError, match="not in flight"):
            outbox.ack(ended)
        with pytest.raises(ValueError, match="not in flight"):
            outbox.release([ended])


async def test_a_cancelled_take_loses_nothing(outbox: Either) -> None:
    """The publisher may give up waiting at any time."""
    waiting = asyncio.create_task(outbox.fetch(5))
    await settle()
    outbox.put(message(1))
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    if not waiting.cancelled():
        outbox.release(waiting.result())
    assert seqs(await taken(outbox)) == [1]
