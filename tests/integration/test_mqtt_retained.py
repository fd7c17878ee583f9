"""Layout `tag`, retained: after an outage the broker has what holds, although nothing changes any more."""

import asyncio
import contextlib
import struct
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.sinks.mqtt.client import MqttClient
from gateway.sinks.mqtt.config import MqttConfig
from tests.support.line import running_line
from tests.support.modbus_server import Ask
from tests.support.network import until

ROOT = "publish:\n  windows: changed\n  summaries: false\n  layout: tag\n  retain: true\n"


class Register:
    """A device whose float registers all have one value."""

    def __init__(self) -> None:
        self.value = 1.0

    async def answer(self, ask: Ask, writer: asyncio.StreamWriter) -> None:
        payload = struct.pack(">f", self.value) * (ask.count // 2)
        writer.write(ask.frame(bytes((ask.function, len(payload))) + payload))


async def retained(url: str) -> dict[str, dict[str, Any]]:
    """What a subscriber gets who comes later."""
    client = MqttClient(MqttConfig(url=url), client_id="later")
    await client.open()
    found = {}
    try:
        await client.subscribe("plant/test/press/+")
        with contextlib.suppress(TimeoutError):
            while True:
                message = await asyncio.wait_for(client.receive(), 0.5)
                if message.retain:
                    found[message.topic.rpartition("/")[2]] = orjson.loads(message.payload)
    finally:
        await client.close()
    return found


@pytest.mark.parametrize("forgets", [False, True])
async def test_after_an_outage_the_broker_has_what_holds(tmp_path: Path, mosquitto: str, forgets: bool) -> None:
    """The value changed while the broker was away, and stays: max_silence, a minute, is far off. forgets: it was killed, and
    has lost what it had retained since the last save."""
    register = Register()
    async with running_line(tmp_path, mosquitto, root=ROOT, proxied=True) as line:
        line.device.script = register.answer
        await until(lambda: any(m.payload["value"] == 1.0 for m in line.subscriber.of("/press/t0")), 20, "the old value")
        if forgets:
            line.broker.kill()
            (tmp_path / "broker" / "mosquitto.db").unlink(missing_ok=True)
        else:
            line.proxy.refuse = True
            line.proxy.cut()
        register.value = 2.0
        polls = len(line.device.asks)
        await until(lambda: len(line.device.asks) > polls + 15, 30, "polls without the broker")
        if forgets:
            await line.broker.start()
        line.proxy.refuse = False
        connects = line.gateway.log().count("sink connected")
        await until(lambda: line.gateway.log().count("sink connected") > connects, 20, "connected again")
        await asyncio.sleep(1.0)  # less than any reason to publish a value again
        kept = await retained(line.broker.url)
        assert {tag: document["value"] for tag, document in kept.items()} == {f"t{n}": 2.0 for n in range(5)}
        assert all(document["q"] == "good" for document in kept.values())
