"""Real brokers that hang up because of one topic: the others have their data, at QoS 0 and 1, in both versions."""

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.core.messages import Message
from gateway.core.ports.layout import Packet
from gateway.layouts.device.layout import DeviceLayout
from gateway.runtime.publisher import Publisher
from gateway.sinks.mqtt.client import MqttClient
from gateway.sinks.mqtt.config import MqttConfig
from tests.integration.test_mqtt_poison import FASTER, FastClock
from tests.support.mosquitto import Mosquitto
from tests.support.mqtt_publisher import mqtt_publisher
from tests.support.network import free_port, until
from tests.support.outbox_fake import FakeOutbox
from tests.support.proxy import PUBLISH, Proxy
from tests.support.status import QuietStatus

FORBIDDEN = "oven"
NOT_AUTHORISED = 0x87
GOOD = ("gw/press/window", "gw/press/stats", "gw/line/window")
BAD = ("gw/oven/window", "gw/oven/stats")


class Plant(FakeOutbox):
    """Each device makes its messages once a second of the fast clock, whether they are taken or not."""

    async def produce(self) -> None:
        while True:
            for topic in (*BAD, *GOOD):
                self.put_next(topic=topic, payload=b"{}")
            await asyncio.sleep(1 / FASTER)

    def of(self, topics: tuple[str, ...]) -> list[Message]:
        return [message for message in self.acked if message.topic in topics]


class Unconfirmed(DeviceLayout):
    """At QoS 0."""

    def packets(self, message: Message, *, hist: bool, most_bytes: int) -> list[Packet]:
        return [replace(packet, is_confirmed=False) for packet in super().packets(message, hist=hist, most_bytes=most_bytes)]


@contextlib.asynccontextmanager
async def aedes(node: Path, folder: Path) -> AsyncIterator[str]:
    port = free_port()
    with (folder / "aedes.log").open("wb") as log:
        process = subprocess.Popen(["node", node / "mqtt_denying_broker.mjs", str(port), FORBIDDEN], stdout=log, stderr=log)
    try:
        await until(lambda: "listening" in (folder / "aedes.log").read_text(), 20, "aedes listens")
        yield f"mqtt://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


class DenyingProxy(Proxy):
    """Sends DISCONNECT with a reason string to whoever publishes what is forbidden, and hangs up."""

    def __init__(self, target: int, words: str) -> None:
        super().__init__(target, mqtt=True)
        text = words.encode()
        properties = b"\x1f" + len(text).to_bytes(2) + text if words else b""
        self._goodbye = bytes([0xE0, 2 + len(properties), NOT_AUTHORISED, len(properties)]) + properties
        self.ended = 0

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, up: bool) -> None:
        async def meddle(upwards: bool, kind: int, packet: bytes) -> bytes:
            if upwards and kind == PUBLISH and FORBIDDEN.encode() in packet[:40]:
                self.ended += 1
                raise ConnectionAbortedError
            return packet

        self.meddle = meddle
        await super()._pass(reader, writer, up=up)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ended = self.ended
        await super()._join(reader, writer)
        if self.ended > ended:
            writer.write(self._goodbye)
            await writer.drain()


def publisher(url: str, outbox: Plant, version: str, qos: int) -> Publisher:
    client = MqttClient(MqttConfig(url=url, version=version, topic_aliases=False), client_id="gw")
    layout = DeviceLayout() if qos else Unconfirmed()
    return mqtt_publisher(
        client, outbox, FastClock(), in_flight=20, ack_timeout_s=5.0 * FASTER,
        layout=layout, status=QuietStatus(), delays=lambda: iter([1.0, 2.0, 4.0, *[8.0] * 10_000]),
    )  # fmt: skip


async def runs(url: str, version: str, qos: int, seconds: float) -> Plant:
    """The plant after so many fast seconds."""
    outbox = Plant()
    running = publisher(url, outbox, version, qos)
    tasks = [asyncio.create_task(running.run()), asyncio.create_task(outbox.produce())]
    await asyncio.sleep(seconds / FASTER)
    tasks[1].cancel()
    await until(lambda: len(outbox.of(GOOD)) == sum(m.topic in GOOD for m in outbox.messages), 10, "all that is allowed")
    tasks[0].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return outbox


def judge(outbox: Plant) -> None:
    assert len(outbox.of(GOOD)) == sum(message.topic in GOOD for message in outbox.messages)
    assert outbox.of(BAD) == []
    assert {message.topic for message, _ in outbox.refused} == set(BAD)
    assert len(outbox.refused) > 0.5 * sum(message.topic in BAD for message in outbox.messages)


@pytest.mark.parametrize("qos", [0, 1])
async def test_aedes_hangs_up_for_a_device_and_the_others_have_their_data(node: Path, tmp_path: Path, qos: int) -> None:
    """MQTT 3.1.1: no reason is given."""
    async with aedes(node, tmp_path) as url:
        judge(await runs(url, "3.1.1", qos, 900))


@pytest.mark.parametrize("qos", [0, 1])
@pytest.mark.parametrize("words", ["", "not allowed: gw/oven/window"])
async def test_a_disconnect_of_mqtt_5_for_a_device_costs_the_others_nothing(
    mosquitto: str, tmp_path: Path, words: str, qos: int
) -> None:
    broker = Mosquitto(mosquitto, tmp_path)
    await broker.start("max_queued_messages 100000")
    try:
        async with DenyingProxy(broker.port, words) as proxy:
            outbox = await runs(proxy.url, "5", qos, 900)
            judge(outbox)
            assert proxy.ended < 20
    finally:
        broker.stop()
