"""What MQTT 5 says beside the payload, as a foreign client and a scripted broker see it."""

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties as PahoProperties

from gateway.core.errors import Permanent
from gateway.core.ports.layout import Properties
from gateway.sinks.mqtt.client import MqttClient
from gateway.sinks.mqtt.config import MqttConfig
from gateway.sinks.mqtt.types import Will
from tests.integration.test_mqtt_codes import Script, connected
from tests.support.mosquitto import Mosquitto
from tests.support.network import until
from tests.support.proxy import Proxy


@pytest.fixture
async def broker(mosquitto: str, tmp_path: Path) -> AsyncIterator[Mosquitto]:
    broker = Mosquitto(mosquitto, tmp_path, persistent=True)
    await broker.start()
    yield broker
    broker.stop()


class Watcher:
    """A foreign subscriber (paho's own threads) that keeps whole messages. `leave` and `come` keep its session."""

    def __init__(self, port: int) -> None:
        self.messages: list[paho.MQTTMessage] = []
        self._port = port
        self.come()

    def come(self) -> None:
        ready = threading.Event()
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2, "watcher", protocol=paho.MQTTv5)
        self._client.on_connect = lambda client, *_: client.subscribe("#", qos=1)
        self._client.on_subscribe = lambda *_: ready.set()
        self._client.on_message = lambda _c, _u, message: self.messages.append(message)
        properties = PahoProperties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = 3600
        self._client.connect("127.0.0.1", self._port, clean_start=False, properties=properties)
        self._client.loop_start()
        assert ready.wait(10)

    def leave(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    async def got(self, count: int) -> list[paho.MQTTMessage]:
        await until(lambda: len(self.messages) >= count, what=f"{count} messages, have {len(self.messages)}")
        return self.messages


async def opened(url: str, *, will: Will | None = None, client_id: str = "gw", **settings: Any) -> MqttClient:
    client = MqttClient(MqttConfig(url=url, **settings), client_id=client_id, will=will)
    await client.open()
    return client


async def test_content_type_user_properties_and_format_arrive(broker: Mosquitto) -> None:
    watcher = await asyncio.to_thread(Watcher, broker.port)
    client = await opened(broker.url)
    await client.publish("a", b"{}", properties=Properties("application/json", (("boot", "b1"), ("seq", "7"))))
    [message] = await watcher.got(1)
    assert message.properties.ContentType == "application/json"
    assert message.properties.PayloadFormatIndicator == 1
    assert message.properties.UserProperty == [("boot", "b1"), ("seq", "7")]
    await client.close()
    watcher.leave()


async def test_properties_are_left_out_in_version_3(broker: Mosquitto) -> None:
    watcher = await asyncio.to_thread(Watcher, broker.port)
    client = await opened(broker.url, version="3.1.1")
    await client.publish("a", b"{}", properties=Properties("application/json"), expiry_s=1)
    [message] = await watcher.got(1)
    assert not hasattr(message.properties, "ContentType")
    await client.close()
    watcher.leave()


async def test_an_expired_message_is_not_given_to_who_comes_later(broker: Mosquitto) -> None:
    watcher = await asyncio.to_thread(Watcher, broker.port)
    await asyncio.to_thread(watcher.leave)
    client = await opened(broker.url)
    await client.publish("a", b"short", expiry_s=1)
    await client.publish("a", b"long", expiry_s=600)
    await client.publish("a", b"for ever")
    await asyncio.sleep(2.1)
    await asyncio.to_thread(watcher.come)
    assert [message.payload for message in await watcher.got(2)] == [b"long", b"for ever"]
    assert 590 <= watcher.messages[0].properties.MessageExpiryInterval < 600
    await client.close()
    watcher.leave()


async def test_every_topic_arrives_as_itself_although_there_are_few_aliases(broker: Mosquitto) -> None:
    watcher = await asyncio.to_thread(Watcher, broker.port)
    client = await opened(broker.url)
    topics = [f"plant/device{n % 25}/window" for n in range(500)]
    for at in range(0, 500, 50):
        await asyncio.gather(*(client.publish(topic, topic.encode()) for topic in topics[at : at + 50]))
    messages = await watcher.got(500)
    assert [message.topic for message in messages] == topics
    assert all(message.topic.encode() == message.payload for message in messages)
    await client.close()
    watcher.leave()


class Recorder(Script):
    """Keeps the bodies of CONNECT and PUBLISH packets."""

    def __init__(self, connack: bytes) -> None:
        super().__init__(connack)
        self.connects: list[bytes] = []
        self.bodies: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        try:
            while True:
                kind, length = await reader.readexactly(2)
                body = await reader.readexactly(length)
                if kind == 0x10:
                    self.connects.append(body)
                    writer.write(self.connack)
                elif kind & 0xF0 == 0x30:
                    self.bodies.append(body)
                    size = int.from_bytes(body[:2]) + 2
                    writer.write(self.puback(body[size : size + 2]))
        except (asyncio.IncompleteReadError, OSError):
            writer.close()


ALIASES = bytes([0x20, 6, 0, 0, 3, 0x22, 0, 5])  # topic alias maximum 5


async def test_a_topic_is_sent_once_then_its_alias() -> None:
    script = Recorder(ALIASES)
    async with connected(script) as client:
        for _ in range(4):
            await asyncio.wait_for(client.publish("topic", b"x"), 2)
    assert [body[: int.from_bytes(body[:2]) + 2][2:] for body in script.bodies] == [b"topic", b"topic", b"", b""]
    assert [b"\x23\x00\x01" in body for body in script.bodies] == [False, True, True, True]


@pytest.mark.parametrize(("connack", "settings"), [(None, {}), (ALIASES, {"topic_aliases": False})])
async def test_no_alias_where_the_broker_or_the_user_does_not_want_them(
    connack: bytes | None, settings: dict[str, Any]
) -> None:
    script = Recorder(connack or bytes([0x20, 3, 0, 0, 0]))
    async with connected(script, **settings) as client:
        for _ in range(4):
            await asyncio.wait_for(client.publish("topic", b"x"), 2)
    assert all(body[2:7] == b"topic" for body in script.bodies)


async def test_a_property_that_cannot_travel_is_refused_for_good(broker: Mosquitto) -> None:
    client = await opened(broker.url)
    with pytest.raises(Permanent, match="property"):
        await client.publish("a", b"x", properties=Properties(user=(("name", "x" * 70_000),)))
    await client.publish("a", b"x")
    await client.close()


async def test_the_will_waits_for_its_delay_and_is_not_sent_to_who_comes_back(broker: Mosquitto) -> None:
    watcher = await asyncio.to_thread(Watcher, broker.port)
    settings = {"clean_start": False, "session_expiry": "1h", "will_delay": "2s"}
    will = Will("w", b"offline", "application/json")
    async with Proxy(broker.port) as proxy:
        client = await opened(proxy.url, will=will, **settings)
        proxy.cut()
        await client.lost()
        await client.open()
        await client.publish("a", b"back in time")
        await asyncio.sleep(3)
        assert [message.topic for message in watcher.messages] == ["a"]
        proxy.refuse = True
        proxy.cut()
        await watcher.got(2)
        assert watcher.messages[1].payload == b"offline"
        assert watcher.messages[1].properties.ContentType == "application/json"
    await client.close()
    watcher.leave()


async def test_a_kept_session_asks_for_it_and_nothing_comes_that_nobody_wants(broker: Mosquitto) -> None:
    """A subscription from another life of the client id: its messages do not fill up a gateway that never subscribes."""
    settings: dict[str, Any] = {"clean_start": False, "session_expiry": "1h"}
    earlier = await opened(broker.url, **settings)
    await earlier.subscribe("a/#")
    await earlier.close()
    other = await opened(broker.url, client_id="other")
    for n in range(20):
        await other.publish("a/b", b"%d" % n)
    client = await opened(broker.url, **settings)
    await asyncio.wait_for(client.publish("c", b"x"), 5)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(client.receive(), 0.3)
    await client.close()
    await other.close()


@pytest.mark.parametrize(
    ("settings", "clean", "expiry"),
    [({}, True, 0), ({"clean_start": False, "session_expiry": "90s"}, False, 90)],
)
async def test_clean_start_and_session_expiry_are_what_was_set(settings: dict[str, Any], clean: bool, expiry: int) -> None:
    script = Recorder(bytes([0x20, 3, 0, 0, 0]))
    async with connected(script, client_id="gw", **settings):
        pass
    [body] = script.connects
    assert bool(body[7] & 2) is clean  # clean start (3.1.2.4)
    assert b"\x11" + expiry.to_bytes(4) in body


@pytest.mark.parametrize("clean", [True, False])
async def test_clean_session_of_version_3(clean: bool) -> None:
    script = Recorder(bytes([0x20, 2, 0, 0]))
    async with connected(script, client_id="gw", clean_start=clean, version="3.1.1"):
        pass
    assert bool(script.connects[0][7] & 2) is clean
