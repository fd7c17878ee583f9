"""A Sparkplug node with a device for whose birth a real broker hangs up: MQTT 3.1.1 cannot say how much it takes."""

import asyncio
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path

import pytest

from gateway.core.events.event import Event
from gateway.core.messages import DeviceState
from gateway.core.tags import Tag, TagTable
from gateway.encoding.topics import Topics
from gateway.layouts.sparkplug.layout import SparkplugLayout
from gateway.settings.publish_model import DevicePublish, Publish
from gateway.sinks.mqtt.client import MqttClient
from gateway.sinks.mqtt.config import MqttConfig
from gateway.sinks.mqtt.types import Will
from tests.integration.test_mqtt_poison import FASTER, BusyOutbox, FastClock
from tests.support.gateway import Subscriber
from tests.support.layout import scope_for, services_for
from tests.support.mosquitto import Mosquitto
from tests.support.mqtt_publisher import mqtt_publisher
from tests.support.network import until
from tests.unit.sinks.mqtt.test_host_session import Status

WIDE = 200
LEAST_PROBE_S = 60.0
"""A birth that ended six connections is tried again after 80 s, then after 160 s and after 300 s (`BirthTrials`)."""
TABLE = TagTable(
    ("narrow", "wide", "also"),
    (Tag(0, 0, "a"), *(Tag(n, 1, f"tag{n}") for n in range(1, WIDE)), Tag(WIDE, 2, "b")),
)


@pytest.fixture
async def broker(mosquitto: str, tmp_path: Path) -> AsyncIterator[Mosquitto]:
    broker = Mosquitto(mosquitto, tmp_path)
    await broker.start("max_packet_size 4000")
    yield broker
    broker.stop()


@pytest.mark.parametrize("qos", [0, 1])
async def test_a_birth_for_which_the_broker_hangs_up_is_left_out(broker: Mosquitto, qos: int) -> None:
    """Found after some connections; then the other devices are born, and messages flow over a connection that stays."""
    events: list[Event] = []
    numbers = count()
    clock = FastClock()
    services = services_for(
        TABLE, clock, states=lambda: {number: DeviceState(number, "ok") for number in range(3)}, report=events.append
    )
    config = Publish.model_validate({"layout": "sparkplug", "summaries": False, "sparkplug": {"qos": qos}})
    topics = Topics.of("plant", "gw", TABLE.devices)
    node = SparkplugLayout(scope_for(config, [DevicePublish()] * 3, topics), services, lambda: next(numbers) % 256)

    def will() -> Will:
        packet = node.will()
        return Will(packet.topic, packet.payload, retain=False)

    outbox = BusyOutbox()
    client = MqttClient(MqttConfig(url=broker.url, version="3.1.1"), client_id="gw", will=will)
    publisher = mqtt_publisher(
        client, outbox, clock, in_flight=20, ack_timeout_s=5.0 * FASTER, layout=node, status=Status(),
        delays=lambda: iter([5.0] * 10_000),
    )  # fmt: skip
    with Subscriber(broker.port) as watch:
        run = asyncio.create_task(publisher.run())
        try:
            await until(lambda: list(node.refused_births.reasons) == ["wide"], 40, f"found; {node.refused_births.reasons}")
            assert "sending it ended the connection" in node.refused_births.reasons["wide"]
            assert [event.name for event in events] == ["wide"]
            await until(lambda: len(outbox.acked) > 100, 20, "messages flow")
            connects, begin_s = publisher.connects, clock.monotonic()
            await until(lambda: len(outbox.acked) > 300, 20, "on")
            probes = 1 + (clock.monotonic() - begin_s) / LEAST_PROBE_S
            assert publisher.connects - connects <= probes, "what was found is tried again now and then"
            born = {m.topic.rpartition("/")[2] for m in watch.of("") if "/DBIRTH/" in m.topic}
            assert born == {"narrow", "also"}
            assert not outbox.refused
        finally:
            run.cancel()
            await asyncio.gather(run, return_exceptions=True)
