"""What an MQTT client promises the sink, fake and real: one suite. The real one speaks to mosquitto through a proxy that
cuts."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.core.errors import NotConnected, Permanent
from gateway.core.ports.layout import Properties
from gateway.sinks.mqtt.client import MqttClient
from gateway.sinks.mqtt.config import MqttConfig
from gateway.sinks.mqtt.sink import Client
from tests.contract.opening import open_is_cancellable, refused_open_says_why
from tests.support.mosquitto import Mosquitto
from tests.support.mqtt_client import FakeMqttClient
from tests.support.proxy import Proxy


@dataclass
class Stand:
    """A client and the powers over what it is connected to. refuse: the far end takes no connection from now on."""

    client: Client
    cut: Callable[[], None]
    refuse: Callable[[], None]


def fake_stand() -> Stand:
    client = FakeMqttClient()

    def refuse() -> None:
        client.refuse_open = "refused"

    return Stand(client, lambda: client.lose("cut"), refuse)


@pytest.fixture(params=["fake", "mqtt 5", "mqtt 3.1.1"])
async def stand(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Stand]:
    if request.param == "fake":
        yield fake_stand()
        return
    broker = Mosquitto(request.getfixturevalue("mosquitto"), tmp_path)
    await broker.start()
    try:
        async with Proxy(broker.port) as proxy:

            def refuse() -> None:
                proxy.refuse = True

            client = MqttClient(MqttConfig(url=proxy.url, version=request.param.split()[1]))
            yield Stand(client, proxy.cut, refuse)
            await client.close()
    finally:
        broker.stop()


async def test_publish_before_open_is_not_connected(stand: Stand) -> None:
    with pytest.raises(NotConnected):
        await stand.client.publish("a", b"x")


async def test_publish_ends_with_none_when_the_broker_has_it(stand: Stand) -> None:
    await stand.client.open()
    assert await asyncio.wait_for(stand.client.publish("a/b", b"x"), 5) is None


async def test_many_messages_are_in_flight_together(stand: Stand) -> None:
    await stand.client.open()
    futures = [stand.client.publish("a/b", b"%d" % n, retain=n % 2 == 0) for n in range(300)]
    assert await asyncio.wait_for(asyncio.gather(*futures), 10) == [None] * 300


async def test_messages_at_qos_0_end_as_well(stand: Stand) -> None:
    """With None once the far end has read them; NotConnected when the connection goes first; Permanent as at QoS 1."""
    await stand.client.open()
    futures = [stand.client.publish("a/b", b"%d" % n, qos=0) for n in range(300)]
    assert await asyncio.wait_for(asyncio.gather(*futures), 10) == [None] * 300
    with pytest.raises(Permanent):
        await stand.client.publish("a/#", b"x", qos=0)
    stand.cut()
    await asyncio.wait_for(stand.client.lost(), 5)
    with pytest.raises(NotConnected):
        await stand.client.publish("a", b"x", qos=0)


async def test_properties_may_go_with_a_message(stand: Stand) -> None:
    await stand.client.open()
    properties = Properties("application/json", (("boot", "b"), ("seq", "1")))
    await asyncio.wait_for(stand.client.publish("a/b", b"{}", properties=properties, expiry_s=60), 5)


async def test_the_largest_payload_is_known_and_taken(stand: Stand) -> None:
    await stand.client.open()
    assert 100_000 < stand.client.most_bytes < 2**28 + 1
    await asyncio.wait_for(stand.client.publish("a/b", bytes(100_000)), 5)


async def test_an_impossible_topic_is_refused_for_good_and_the_connection_stays(stand: Stand) -> None:
    await stand.client.open()
    with pytest.raises(Permanent):
        await stand.client.publish("a/#", b"x")
    await asyncio.wait_for(stand.client.publish("a", b"x"), 5)


async def test_a_loss_has_a_reason_and_fails_what_is_in_flight(stand: Stand) -> None:
    await stand.client.open()
    lost = asyncio.create_task(stand.client.lost())
    await stand.client.publish("a", b"x")
    assert not lost.done()
    if isinstance(stand.client, FakeMqttClient):
        stand.client.auto_ack = False
    stand.cut()
    flying = stand.client.publish("a", b"y")
    assert await asyncio.wait_for(lost, 5)
    with pytest.raises(NotConnected):
        await flying
    with pytest.raises(NotConnected):
        await stand.client.publish("a", b"z")


async def test_each_open_starts_afresh(stand: Stand) -> None:
    for _ in range(3):
        await stand.client.open()
        lost = asyncio.create_task(stand.client.lost())
        await asyncio.wait_for(stand.client.publish("a", b"x"), 5)
        assert not lost.done()
        stand.cut()
        await asyncio.wait_for(lost, 5)
        await stand.client.close()


async def test_a_refused_open_says_why(stand: Stand) -> None:
    stand.refuse()
    await refused_open_says_why(stand.client.open)


async def test_open_may_be_cancelled_and_tried_again(stand: Stand) -> None:
    await open_is_cancellable(stand.client.open)
    await stand.client.open()
    await asyncio.wait_for(stand.client.publish("a", b"x"), 5)


async def test_close_never_raises_whatever_the_state(stand: Stand) -> None:
    await stand.client.close()
    await stand.client.open()
    lost = asyncio.create_task(stand.client.lost())
    await stand.client.close()
    await stand.client.close()
    assert await asyncio.wait_for(lost, 5)
    with pytest.raises(NotConnected):
        await stand.client.publish("a", b"x")


async def test_what_is_subscribed_is_heard_and_a_cut_ends_the_listening(stand: Stand) -> None:
    """A layout that listens (Sparkplug) hears its topics; cancelling loses nothing; NotConnected once it is over."""
    await stand.client.open()
    await stand.client.subscribe("gateway/commands")
    waiting = asyncio.ensure_future(stand.client.receive())
    await asyncio.sleep(0)
    waiting.cancel()
    await stand.client.publish("gateway/commands", b"again")
    async with asyncio.timeout(10):
        heard = await stand.client.receive()
        assert (heard.topic, heard.payload) == ("gateway/commands", b"again")
        stand.cut()
        with pytest.raises(NotConnected):
            await stand.client.receive()
