"""What sinks share: addresses, topics of the contract, gathering of batches."""

import asyncio

import pytest

from gateway.core.errors import NotConnected, Permanent
from gateway.core.messages import Lane, Message
from gateway.core.ports.outbox import Delivery
from gateway.sinks.access.config import host_and_port
from gateway.sinks.access.gathering import Gathering
from gateway.sinks.access.outcome import Outcome
from gateway.sinks.access.streams import place_of


def delivery(number: int = 1, size: int = 2) -> Delivery:
    return Delivery(number, Message("t", "b", number, Lane.WINDOW, 0, 0, b"x" * size), live=number % 2 == 1)


@pytest.mark.parametrize(
    ("text", "place"),
    [("kafka", ("kafka", 9)), ("kafka:1", ("kafka", 1)), ("[::1]:2", ("::1", 2)), ("[::1]", ("::1", 9))],
)
def test_addresses(text, place):
    assert host_and_port(text, 9) == place


@pytest.mark.parametrize("text", ["", ":1", "a:b", "a:0", "a:70000", "http://a", "a:1/x", "a b", "[::1", "a:1:2", "a:١"])
def test_what_is_no_address_is_refused(text):
    with pytest.raises(ValueError, match=r"address|port"):
        host_and_port(text, 9)


@pytest.mark.parametrize(
    ("topic", "place"),
    [
        ("plant/v1/gw/press/window", ("press", "window")),
        ("a/b/c/v1/gw/press/raw", ("press", "raw")),
        ("plant/v1/gw/event", ("", "event")),
        ("plant/v1/gw/gw/event", ("gw", "event")),
        ("plant/v1/gw/sink-k/event", ("sink-k", "event")),
    ],
)
def test_places(topic, place):
    assert place_of(topic, "gw") == place


async def test_batches_keep_the_order_and_their_limits():
    gathering = Gathering(most=10, batch=3, batch_bytes=100)
    gathering.begin()
    outcomes = [gathering.add(delivery(number, size=60 if number > 3 else 2)) for number in range(1, 8)]
    sizes = []
    while len(sizes) < 3:
        batch = await gathering.next()
        sizes.append(len(batch))
        for pending in batch:
            assert pending.hist == (pending.message.seq % 2 == 0)
            pending.end(None)
    assert sizes == [3, 2, 2]
    assert [await outcome for outcome in outcomes] == [None] * 7


async def test_room_is_what_is_left_and_comes_back():
    gathering = Gathering(most=2, batch=3, batch_bytes=100)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(gathering.room(), 0.01)
    gathering.begin()
    assert await gathering.room() == 2
    first, _ = gathering.add(delivery()), gathering.add(delivery(2))
    waiting = asyncio.ensure_future(gathering.room())
    await asyncio.sleep(0)
    assert not waiting.done()
    (await gathering.next())[0].end(Permanent("no"))
    assert await waiting == 1
    with pytest.raises(Permanent):
        await first


async def test_an_end_gives_back_everything_once():
    gathering = Gathering(most=5, batch=1, batch_bytes=100)
    gathering.begin()
    outcomes = [gathering.add(delivery(number)) for number in (1, 2)]
    batch = await gathering.next()
    gathering.end("cut")
    batch[0].end(None)
    outcomes.append(gathering.add(delivery(3)))
    assert [type(one) for one in await asyncio.gather(*outcomes, return_exceptions=True)] == [NotConnected] * 3
    gathering.begin()
    assert await gathering.room() == 5


async def test_a_message_has_arrived_with_its_last_piece_or_failed_with_the_first():
    whole, broken = Outcome(2), Outcome(2)
    whole.end(None)
    assert not whole.future.done()
    whole.end(None)
    assert await whole.future is None
    broken.end(Permanent("no"))
    broken.end(None)
    with pytest.raises(Permanent):
        await broken.future
