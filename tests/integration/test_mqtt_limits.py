"""Real brokers that keep no retained messages, or take only small packets: what they say, what is set, what is learned."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.core.errors import NotConnected
from gateway.layouts.device.layout import DeviceLayout
from gateway.sinks.mqtt.client import MqttClient
from gateway.sinks.mqtt.config import MqttConfig
from gateway.sinks.mqtt.types import Will
from tests.integration.test_mqtt_poison import BusyOutbox, FastClock
from tests.support.bad_broker import PUBLISH, BadBroker, packet_id
from tests.support.mosquitto import Mosquitto
from tests.support.mqtt_publisher import mqtt_publisher
from tests.support.network import until
from tests.support.outbox_fake import FakeOutbox
from tests.support.status import QuietStatus

WILL = Will("gw/status", b"offline")
TAGS = 100
WINDOW = orjson.dumps(
    {"boot": "b", "seq": 1, "hist": False, "tags": {f"tag{n}": {"last": n, "q": "good"} for n in range(TAGS)}}
)


@pytest.fixture
async def broker(mosquitto: str, tmp_path: Path) -> AsyncIterator[Mosquitto]:
    broker = Mosquitto(mosquitto, tmp_path)
    yield broker
    broker.stop()


def client_of(url: str, **settings: Any) -> MqttClient:
    return MqttClient(MqttConfig(url=url, timeout="1s", **settings), client_id="gw", will=WILL)


async def test_a_broker_of_mqtt_5_that_keeps_nothing_is_connected_to_without_a_retained_will(
    broker: Mosquitto, caplog: pytest.LogCaptureFixture
) -> None:
    """It refuses the CONNECT with 0x9A; the second one is accepted, and the next connection begins with that."""
    await broker.start("retain_available false")
    client = client_of(broker.url)
    for _ in range(2):
        await client.open()
        await client.publish("gw/status", b"online", retain=True)
        await client.close()
    assert "keeps no retained messages" in caplog.text
    assert broker.log().count("retain not") + broker.log().count("Retain not") <= 1


async def test_a_broker_of_mqtt_3_that_keeps_nothing_is_connected_to_with_the_switch(broker: Mosquitto) -> None:
    """Without it the reason names the switch."""
    await broker.start("retain_available false")
    with pytest.raises(NotConnected, match=r"mqtt\.retain: false"):
        await client_of(broker.url, version="3.1.1").open()
    client = client_of(broker.url, version="3.1.1", retain=False)
    await client.open()
    await client.publish("gw/status", b"online", retain=True)
    await client.close()


async def test_a_publish_that_is_refused_for_its_retain_flag_goes_again_without() -> None:
    """0x9A in a PUBACK: nothing is lost, and nothing is retained from then on."""
    broker = BadBroker()
    broker.answer = lambda kind, packet: (
        bytes([0x40, 3]) + packet_id(packet) + b"\x9a" if kind == PUBLISH and packet[0] & 1 else broker.usual(kind, packet)
    )
    async with broker:
        outbox = FakeOutbox()
        publisher = mqtt_publisher(
            MqttClient(MqttConfig(url=broker.url), client_id="gw"),
            outbox,
            FastClock(),
            layout=DeviceLayout(),
            status=QuietStatus(),
        )
        run = asyncio.create_task(publisher.run())
        await until(lambda: any(not packet[0] & 1 and b"status" in packet for packet in broker.published()), 10, "again")
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)


@pytest.mark.parametrize(
    ("version", "lines", "settings"),
    [
        ("3.1.1", "max_packet_size 2000", {}),
        ("3.1.1", "max_packet_size 2000", {"max_packet": "1KiB"}),
        ("5", "message_size_limit 1500", {}),
        ("5", "message_size_limit 1500", {"max_packet": "1KiB"}),
    ],
)
async def test_a_window_larger_than_the_broker_takes_comes_in_parts(
    broker: Mosquitto, version: str, lines: str, settings: dict[str, str]
) -> None:
    """3.1.1 hangs up without a word, and 5 refuses (0x95): from that it is learned. With the setting neither happens."""
    await broker.start(lines, "max_queued_messages 10000")
    outbox, parts = FakeOutbox(), []
    watch = MqttClient(MqttConfig(url=broker.url), client_id="watch")
    await watch.open()
    await watch.subscribe("gw/press/window")
    client = MqttClient(MqttConfig(url=broker.url, version=version, **settings), client_id="gw")
    publisher = mqtt_publisher(
        client, outbox, FastClock(), ack_timeout_s=1000.0, layout=DeviceLayout(), status=QuietStatus(),
        delays=lambda: iter([1.0] * 1000),
    )  # fmt: skip
    run = asyncio.create_task(publisher.run())
    try:
        for _ in range(40):
            outbox.put_next(topic="gw/press/window", payload=WINDOW)
            outbox.put_next(topic="gw/press/stats", payload=b"{}")
            await asyncio.sleep(0.01)
        await until(lambda: len(outbox.acked) == 80, 20, f"{len(outbox.acked)} acked, {len(outbox.refused)} refused")
        while sum(part["part"][0] == part["part"][1] for part in parts) < 40:
            parts.append(orjson.loads((await asyncio.wait_for(watch.receive(), 5)).payload))
    finally:
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)
        await watch.close()
    tags = [tag for part in parts[-parts[-1]["part"][1] :] for tag in part["tags"]]
    assert sorted(tags) == sorted(f"tag{n}" for n in range(TAGS)), "the last window, whole"
    if settings:
        assert publisher.connects == 1
        assert publisher.released == 0


@pytest.mark.parametrize("version", ["3.1.1", "5"])
async def test_a_message_that_cannot_be_cut_is_refused_and_nothing_else(broker: Mosquitto, version: str) -> None:
    await broker.start("max_packet_size 2000" if version == "3.1.1" else "message_size_limit 1500")
    outbox = BusyOutbox()
    outbox.put_next(topic="gw/press/event", payload=b'{"text":"%s"}' % (b"x" * 5_000))
    publisher = mqtt_publisher(
        MqttClient(MqttConfig(url=broker.url, version=version), client_id="gw"), outbox, FastClock(), ack_timeout_s=1000.0,
        layout=DeviceLayout(), status=QuietStatus(), delays=lambda: iter([1.0] * 1000),
    )  # fmt: skip
    run = asyncio.create_task(publisher.run())
    try:
        await until(lambda: outbox.refused, 20, "refused")
        acked = len(outbox.acked)
        await until(lambda: len(outbox.acked) > acked + 50, 20, "the others go on")
        assert list(outbox.refusals) == [1]
    finally:
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)
