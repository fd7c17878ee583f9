"""The whole gateway with a protocol that it does not know, and a real broker."""

import asyncio
from pathlib import Path

from tests.support.gateway import GatewayProcess, Subscriber, write_config
from tests.support.mosquitto import Mosquitto
from tests.support.network import until
from tests.support.third_protocol import DEVICE_FILE


async def test_samples_of_a_third_protocol_reach_the_broker_as_windows(tmp_path: Path, mosquitto: str) -> None:
    (tmp_path / "broker").mkdir()
    broker = Mosquitto(mosquitto, tmp_path / "broker")
    await broker.start()
    config = write_config(tmp_path, broker.url, [], root="publish:\n  windows: all\n", files={"crane.yaml": DEVICE_FILE})
    subscriber = await asyncio.to_thread(lambda: Subscriber(broker.port).wait_ready())
    gateway = GatewayProcess(config)
    gateway.program = ("-m", "tests.support.third_protocol")
    try:
        gateway.start()
        await until(lambda: len(subscriber.of("/crane/window")) > 2, 30, "windows of the third protocol")
        window = subscriber.of("/crane/window")[1].payload
        assert {name: (tag["last"], tag["q"]) for name, tag in window["tags"].items()} == {
            "hook": (7, "good"), "load": (11, "good"),
        }  # fmt: skip
        assert subscriber.of("/status")[-1].payload["devices"]["crane"]["state"] == "ok"
        assert await asyncio.to_thread(gateway.terminate) == 0, gateway.log()
        assert subscriber.of("/status")[-1].payload["state"] == "offline"
    finally:
        gateway.kill()
        subscriber.close()
        broker.stop()
