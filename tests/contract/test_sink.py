"""What every sink promises, fake and real: one suite. The real one speaks to mosquitto through a proxy that cuts."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest

from gateway.core.clock import SystemClock
from gateway.core.errors import NotConnected, Permanent, Retryable
from gateway.core.messages import Lane, Message
from gateway.core.ports.outbox import Delivery
from gateway.core.ports.sink import Ending, Sink
from gateway.core.ports.sink_plugin import SinkServices
from gateway.plugins import SINKS
from tests.contract.opening import open_is_cancellable, refused_open_says_why
from tests.support.layout import PlainLayout
from tests.support.mosquitto import Mosquitto
from tests.support.proxy import Proxy
from tests.support.sink import FakeSink
from tests.support.status import FakeStatus


@dataclass
class Stand:
    """A sink and the powers over what it is connected to. refuse: the far end takes no connection from now on."""

    sink: Sink
    cut: Callable[[], None]
    refuse: Callable[[], None]


NUMBERS = count(1)


def delivery(payload: bytes = b"{}", topic: str = "gw/d/window") -> Delivery:
    number = next(NUMBERS)
    return Delivery(number, Message(topic, "b", number, Lane.WINDOW, 0, 0, payload), live=True)


@pytest.fixture(params=["fake", "mqtt 5", "mqtt 3.1.1"])
async def stand(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Stand]:
    if request.param == "fake":
        fake = FakeSink()

        def refuse_fake() -> None:
            fake.refuse_open = "refused"

        yield Stand(fake, lambda: fake.lose("cut"), refuse_fake)
        return
    broker = Mosquitto(request.getfixturevalue("mosquitto"), tmp_path)
    await broker.start()
    try:
        async with Proxy(broker.port) as proxy:

            def refuse() -> None:
                proxy.refuse = True

            plugin = SINKS["mqtt"]
            config = plugin.config_model.model_validate({"url": proxy.url, "version": request.param.split()[1]})
            sink = plugin.build(config, SinkServices("gw", PlainLayout(), FakeStatus(), SystemClock()))
            yield Stand(sink, proxy.cut, refuse)
            await sink.close()
    finally:
        broker.stop()


class Serving:
    """A connection in use."""

    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self.live = asyncio.Event()

    async def __aenter__(self) -> "asyncio.Task[Ending]":
        await self.sink.open()
        self.task = asyncio.create_task(self.sink.serve(self.live.set))
        await asyncio.wait_for(self.live.wait(), 5)
        await asyncio.wait_for(self.sink.room(), 5)
        return self.task

    async def __aexit__(self, *_: object) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


async def test_a_message_before_open_is_not_connected(stand: Stand) -> None:
    with pytest.raises(NotConnected):
        await stand.sink.send(delivery())


async def test_there_is_no_room_before_the_sink_is_live(stand: Stand) -> None:
    await stand.sink.open()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(stand.sink.room(), 0.05)


async def test_a_message_ends_with_none_once_the_far_end_has_it(stand: Stand) -> None:
    async with Serving(stand.sink):
        assert await asyncio.wait_for(stand.sink.send(delivery()), 5) is None


async def test_many_messages_arrive_and_room_is_made_for_each(stand: Stand) -> None:
    async with Serving(stand.sink):
        futures = []
        for _ in range(300):
            assert await asyncio.wait_for(stand.sink.room(), 5) >= 1
            futures.append(stand.sink.send(delivery()))
        assert await asyncio.wait_for(asyncio.gather(*futures), 10) == [None] * 300


async def test_a_message_of_100_kb_arrives(stand: Stand) -> None:
    async with Serving(stand.sink):
        await asyncio.wait_for(stand.sink.send(delivery(b'{"x":"' + b"y" * 100_000 + b'"}')), 5)


async def test_an_impossible_message_is_refused_and_the_connection_stays(stand: Stand) -> None:
    if isinstance(stand.sink, FakeSink):
        stand.sink.answers = [Permanent("never")]
    async with Serving(stand.sink):
        if not isinstance(stand.sink, FakeSink):
            await asyncio.wait_for(stand.sink.send(delivery()), 5)
        with pytest.raises(Permanent):
            await asyncio.wait_for(stand.sink.send(delivery(topic="gw/#")), 5)
        await asyncio.wait_for(stand.sink.send(delivery()), 5)


async def test_a_refusal_for_now_is_told_from_one_for_good(stand: Stand) -> None:
    """Before anything was accepted on a connection a refusal says nothing about the message."""
    if isinstance(stand.sink, FakeSink):
        stand.sink.answers = [Retryable("not now")]
    async with Serving(stand.sink):
        outcome = stand.sink.send(delivery(topic="gw/#"))
        with pytest.raises((Retryable, Permanent)):
            await asyncio.wait_for(outcome, 5)


async def test_a_loss_has_a_reason_and_ends_what_is_in_flight(stand: Stand) -> None:
    async with Serving(stand.sink) as serving:
        await stand.sink.send(delivery())
        assert not serving.done()
        if isinstance(stand.sink, FakeSink):
            stand.sink.auto_ack = False
        stand.cut()
        flying = stand.sink.send(delivery())
        ending = await asyncio.wait_for(serving, 5)
        assert ending.reason
        with pytest.raises(NotConnected):
            await asyncio.wait_for(flying, 5)
        with pytest.raises(NotConnected):
            await stand.sink.send(delivery())


async def test_each_open_starts_afresh(stand: Stand) -> None:
    for _ in range(3):
        async with Serving(stand.sink) as serving:
            await asyncio.wait_for(stand.sink.send(delivery()), 5)
            stand.cut()
            await asyncio.wait_for(serving, 5)
        await stand.sink.close()


async def test_a_refused_open_says_why(stand: Stand) -> None:
    stand.refuse()
    await refused_open_says_why(stand.sink.open)


async def test_open_may_be_cancelled_and_tried_again(stand: Stand) -> None:
    await open_is_cancellable(stand.sink.open)
    async with Serving(stand.sink):
        await asyncio.wait_for(stand.sink.send(delivery()), 5)


async def test_close_never_raises_whatever_the_state(stand: Stand) -> None:
    await stand.sink.close()
    async with Serving(stand.sink) as serving:
        await stand.sink.close(stop_reason="stopped", within_s=1.0)
        await stand.sink.close()
        assert (await asyncio.wait_for(serving, 5)).reason
    with pytest.raises(NotConnected):
        await stand.sink.send(delivery())
