"""Layout platform through the whole gateway: a broker that allows a platform's topics alone hears nothing else."""

import asyncio
from pathlib import Path

import pytest

from tests.support.gateway import GatewayProcess, Subscriber, write_config
from tests.support.modbus_server import ScriptedServer
from tests.support.mosquitto import Mosquitto
from tests.support.network import until

PRESS = """\
protocol: modbus
url: tcp://127.0.0.1:{port}
interval: 200ms
tags:
  - {{name: oil, address: "holding:7"}}
  - {{name: water, address: "holding:8", hi: 5}}
"""
PLATFORMS = [
    ("{form: thingsboard}", "v1/gateway/telemetry"),
    ("{form: losant, id: gw1}", "losant/gw1/state"),
    ("{form: azure-iot-hub, id: hall2}", "devices/hall2/messages/events/#"),
]


@pytest.mark.parametrize("version", ["5", "3.1.1"])
@pytest.mark.parametrize(("platform", "allowed"), PLATFORMS, ids=["thingsboard", "losant", "azure"])
async def test_nothing_is_published_but_what_the_platform_takes(
    tmp_path: Path, mosquitto: str, port: int, platform: str, allowed: str, version: str
) -> None:
    (tmp_path / "broker").mkdir()
    broker = Mosquitto(mosquitto, tmp_path / "broker")
    acl = tmp_path / "acl"
    acl.write_text(f"topic readwrite {allowed}\n")
    await broker.start(f"acl_file {acl}")
    root = f"publish:\n  layout: platform\n  platform: {platform}\n  stats: 1s\n"
    config = write_config(tmp_path, broker.url, [], root=root, files={"press.yaml": PRESS.format(port=port)})
    async with ScriptedServer(port):
        with (
            Subscriber(broker.port, allowed, of_contract=False) as subscriber,
            GatewayProcess(config, GATEWAY__MQTT__VERSION=version) as gateway,
        ):
            await until(lambda: len(subscriber.of("")) > 6, 30, "messages")
            assert await asyncio.to_thread(gateway.terminate) == 0
        texts = [str(m.payload) for m in subscriber.of("")]
        assert any("'oil'" in text and "7" in text for text in texts)
        assert any("alarm" in text for text in texts)
        assert any("stats" in text or "round_trip_ms" in text for text in texts)
    assert "Denied" not in broker.log()
    assert "refused" not in gateway.log()
    broker.stop()
