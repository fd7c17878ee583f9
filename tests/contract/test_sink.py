"""What every sink promises, fake and real: one suite. The real ones speak to real servers through a proxy that cuts."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from gateway.core.clock import SystemClock
from gateway.core.errors import NotConnected, Permanent, Retryable
from gateway.core.messages import Lane, Message
from gateway.core.ports.outbox import Delivery
from gateway.core.ports.sink import Ending, Sink
from gateway.core.ports.sink_plugin import SinkServices
from gateway.plugins import SINKS
from tests.contract.opening import open_is_cancellable, refused_open_says_why
from tests.support.influx import Influx1
from tests.support.kafka import Kafka
from tests.support.layout import PlainLayout
from tests.support.mosquitto import Mosquitto
from tests.support.network import free_port
from tests.support.postgres import PASSWORD, Postgres
from tests.support.proxy import Proxy
from tests.support.sink import FakeSink
from tests.support.status import FakeStatus


@dataclass
class Stand:
    """A sink and the powers over what it is connected to. refuse: the far end takes no connection from now on."""

    sink: Sink
    cut: Callable[[], None]
    refuse: Callable[[], None]
    impossible: Delivery
    """What the far end will never take."""
    mend: Callable[[], None] = lambda: None
    """Takes connections again after a cut."""


NUMBERS = count(1)


def delivery(payload: bytes = b'{"ts":1,"tags":{"t":{"n":1}}}', topic: str = "gw/d/window") -> Delivery:
    number = next(NUMBERS)
    return Delivery(number, Message(topic, "b", number, Lane.WINDOW, 0, 0, payload), live=True)


Stands = AbstractAsyncContextManager[Stand]


def _built(kind: str, **settings: Any) -> Sink:
    plugin = SINKS[kind]
    services = SinkServices("gw", PlainLayout(), FakeStatus(), SystemClock())
    return plugin.build(plugin.config_model.model_validate(settings), services)


@asynccontextmanager
async def fake_stand(request: pytest.FixtureRequest, folder: Path) -> AsyncIterator[Stand]:
    fake = FakeSink()

    def refuse() -> None:
        fake.refuse_open = "refused"

    yield Stand(fake, lambda: fake.lose("cut"), refuse, delivery(topic="gw/#"))


@asynccontextmanager
async def mqtt_stand(request: pytest.FixtureRequest, folder: Path, version: str) -> AsyncIterator[Stand]:
    broker = Mosquitto(request.getfixturevalue("mosquitto"), folder)
    await broker.start()
    try:
        async with Proxy(broker.port) as proxy:

            def refuse() -> None:
                proxy.refuse = True

            sink = _built("mqtt", url=proxy.url, version=version)
            yield Stand(sink, proxy.cut, refuse, delivery(topic="gw/#"))
            await sink.close()
    finally:
        broker.stop()


@pytest.fixture(scope="module")
def kafka(kafka_jars: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int]]:
    """A broker for the whole file: its port, and the one that it names to its clients."""
    broker, seen = Kafka(tmp_path_factory.mktemp("kafka")), free_port()
    port = broker.listen("PROXIED", advertised=seen)
    broker.start_now()
    yield port, seen
    broker.kill()


@asynccontextmanager
async def kafka_stand(request: pytest.FixtureRequest, folder: Path) -> AsyncIterator[Stand]:
    port, seen = request.getfixturevalue("kafka")
    async with Proxy(port, port=seen) as proxy:

        def refuse() -> None:
            proxy.refuse = True
            proxy.cut()

        def mend() -> None:
            proxy.refuse = False

        sink = _built("kafka", brokers=f"127.0.0.1:{seen}", timeout="1s")
        yield Stand(sink, refuse, refuse, delivery(b"x" * 2_000_000), mend)
        await sink.close()


@pytest.fixture(scope="module")
def database(postgres: Path) -> Iterator[Postgres]:
    """A server for the whole file."""
    server = Postgres(postgres)
    server.start_now()
    yield server
    server.kill()


@asynccontextmanager
async def postgres_stand(request: pytest.FixtureRequest, folder: Path) -> AsyncIterator[Stand]:
    server = request.getfixturevalue("database")
    async with Proxy(server.port) as proxy:

        def refuse() -> None:
            proxy.refuse = True

        sink = _built("postgres", url=f"postgresql://127.0.0.1:{proxy.port}/plant", password=PASSWORD)
        yield Stand(sink, proxy.cut, refuse, delivery(b'{"ts":1,"tags":{"t":{"n":"x"}}}'))
        await sink.close()


@pytest.fixture(scope="module")
def lines(influxd: str) -> Iterator[Influx1]:
    """A server for the whole file, with a field that is a text there and a number here."""
    server = Influx1(influxd)
    server.start_now()
    server.write('gateway_window used="a text" 1000000')
    yield server
    server.kill()


@asynccontextmanager
async def influx_stand(request: pytest.FixtureRequest, folder: Path) -> AsyncIterator[Stand]:
    server = request.getfixturevalue("lines")
    async with Proxy(server.port) as proxy:

        def refuse() -> None:
            proxy.refuse = True
            proxy.cut()

        def mend() -> None:
            proxy.refuse = False

        sink = _built("influx", version=1, url=f"http://127.0.0.1:{proxy.port}", timeout="1s")
        impossible = delivery(b'{"ts":1,"tags":{"t":{"used":4}}}')
        yield Stand(sink, refuse, refuse, impossible, mend)
        await sink.close()


STANDS: dict[str, Callable[[pytest.FixtureRequest, Path], Stands]] = {
    "fake": fake_stand,
    "mqtt 5": partial(mqtt_stand, version="5"),
    "mqtt 3.1.1": partial(mqtt_stand, version="3.1.1"),
    "kafka": kafka_stand,
    "postgres": postgres_stand,
    "influx": influx_stand,
}


@pytest.fixture(params=STANDS)
async def stand(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Stand]:
    async with STANDS[request.param](request, tmp_path) as made:
        yield made


class Serving:
    """A connection in use."""

    def __init__(self, stand: Stand) -> None:
        self.stand, self.sink = stand, stand.sink
        self.live = asyncio.Event()

    async def __aenter__(self) -> "asyncio.Task[Ending]":
        self.stand.mend()
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
    async with Serving(stand):
        assert await asyncio.wait_for(stand.sink.send(delivery()), 5) is None


async def test_many_messages_arrive_and_room_is_made_for_each(stand: Stand) -> None:
    async with Serving(stand):
        futures = []
        for _ in range(300):
            assert await asyncio.wait_for(stand.sink.room(), 5) >= 1
            futures.append(stand.sink.send(delivery()))
        assert await asyncio.wait_for(asyncio.gather(*futures), 10) == [None] * 300


async def test_a_message_of_100_kb_arrives(stand: Stand) -> None:
    async with Serving(stand):
        await asyncio.wait_for(stand.sink.send(delivery(b'{"x":"' + b"y" * 100_000 + b'"}')), 5)


async def test_an_impossible_message_is_refused_and_the_connection_stays(stand: Stand) -> None:
    if isinstance(stand.sink, FakeSink):
        stand.sink.answers = [Permanent("never")]
    async with Serving(stand):
        if not isinstance(stand.sink, FakeSink):
            await asyncio.wait_for(stand.sink.send(delivery()), 5)
        with pytest.raises(Permanent):
            await asyncio.wait_for(stand.sink.send(stand.impossible), 5)
        await asyncio.wait_for(stand.sink.send(delivery()), 5)


async def test_a_refusal_for_now_is_told_from_one_for_good(stand: Stand) -> None:
    """Before anything was accepted on a connection a refusal says nothing about the message."""
    if isinstance(stand.sink, FakeSink):
        stand.sink.answers = [Retryable("not now")]
    async with Serving(stand):
        outcome = stand.sink.send(stand.impossible)
        with pytest.raises((Retryable, Permanent)):
            await asyncio.wait_for(outcome, 5)


async def test_a_loss_has_a_reason_and_ends_what_is_in_flight(stand: Stand) -> None:
    async with Serving(stand) as serving:
        await stand.sink.send(delivery())
        assert not serving.done()
        if isinstance(stand.sink, FakeSink):
            stand.sink.auto_ack = False
        stand.cut()
        flying = stand.sink.send(delivery())
        ending = await asyncio.wait_for(serving, 15)
        assert ending.reason
        with pytest.raises(NotConnected):
            await asyncio.wait_for(flying, 15)
        with pytest.raises(NotConnected):
            await stand.sink.send(delivery())


async def test_each_open_starts_afresh(stand: Stand) -> None:
    for _ in range(3):
        async with Serving(stand) as serving:
            await asyncio.wait_for(stand.sink.send(delivery()), 5)
            stand.cut()
            await asyncio.wait_for(serving, 15)
        await stand.sink.close()


async def test_a_refused_open_says_why(stand: Stand) -> None:
    stand.refuse()
    await refused_open_says_why(stand.sink.open)


async def test_open_may_be_cancelled_and_tried_again(stand: Stand) -> None:
    await open_is_cancellable(stand.sink.open)
    async with Serving(stand):
        await asyncio.wait_for(stand.sink.send(delivery()), 5)


async def test_close_never_raises_whatever_the_state(stand: Stand) -> None:
    await stand.sink.close()
    async with Serving(stand) as serving:
        await stand.sink.close(stop_reason="stopped", within_s=1.0)
        await stand.sink.close()
        assert (await asyncio.wait_for(serving, 15)).reason
    with pytest.raises(NotConnected):
        await stand.sink.send(delivery())
