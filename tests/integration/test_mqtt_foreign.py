"""The MQTT client against a broker that is not mosquitto (rumqttd, the demo's), and on the other event loop."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvloop
from iotcore import Broker

from gateway.sinks.mqtt.client import MqttClient
from gateway.sinks.mqtt.config import MqttConfig
from gateway.sinks.mqtt.types import ReceivedMessage, Will
from tests.support.mosquitto import Authority, Mosquitto
from tests.support.network import free_port
from tests.support.proxy import Proxy

TOML = """
id = 0
[router]
id = 0
max_connections = 100
max_outgoing_packet_count = 200
max_segment_size = 10485760
max_segment_count = 4
[v5.1]
name = "v5"
listen = "127.0.0.1:{port}"
next_connection_delay_ms = 1
[v5.1.connections]
connection_timeout_ms = 5000
max_payload_size = 4194304
max_inflight_count = 100
dynamic_filters = true
"""


@pytest.fixture
def rumqttd(tmp_path: Path) -> Iterator[int]:
    """The port of a running rumqttd that speaks MQTT 5."""
    port = free_port()
    file = tmp_path / "rumqttd.toml"
    file.write_text(TOML.format(port=port))
    with Broker(config_path=str(file)):
        yield port


async def next_of(client: MqttClient) -> ReceivedMessage:
    return await asyncio.wait_for(client.receive(), 5)


async def test_retained_status_and_last_will(rumqttd: int) -> None:
    watcher = MqttClient(MqttConfig(url=f"mqtt://127.0.0.1:{rumqttd}"), client_id="watcher")
    await watcher.open()
    await watcher.publish("gw/status", b"online", retain=True)
    await watcher.subscribe("gw/#")
    assert (await next_of(watcher)).retain
    async with Proxy(rumqttd) as proxy:
        client = MqttClient(MqttConfig(url=proxy.url), client_id="gw", will=Will("gw/status", b"offline"))
        await client.open()
        proxy.cut()
        assert (await next_of(watcher)).payload == b"offline"
    polite = MqttClient(MqttConfig(url=f"mqtt://127.0.0.1:{rumqttd}"), client_id="polite", will=Will("gw/status", b"no"))
    await polite.open()
    await polite.close()
    await watcher.publish("gw/end", b"nothing came before this")
    assert (await next_of(watcher)).topic == "gw/end"
    await watcher.close()


async def test_many_large_messages_in_flight(rumqttd: int) -> None:
    client = MqttClient(MqttConfig(url=f"mqtt://127.0.0.1:{rumqttd}"), client_id="gw")
    await client.open()
    await client.subscribe("a")
    payload = os.urandom(200_000)
    await asyncio.wait_for(asyncio.gather(*(client.publish("a", payload) for _ in range(50))), 20)
    assert all([(await next_of(client)).payload == payload for _ in range(50)])
    await client.close()


@pytest.mark.parametrize("secure", [False, True])
def test_it_runs_on_uvloop(mosquitto: str, tmp_path: Path, secure: bool) -> None:
    authority = Authority(tmp_path)

    async def main() -> None:
        broker = Mosquitto(mosquitto, tmp_path)
        await broker.start(*(authority.tls_lines() if secure else []))
        try:
            tls = {"ca": authority.certificate} if secure else {}
            scheme = "mqtts" if secure else "mqtt"
            client = MqttClient(MqttConfig(url=f"{scheme}://127.0.0.1:{broker.port}", tls=tls, keepalive="1s"))
            await client.open()
            await client.subscribe("a")
            await asyncio.wait_for(asyncio.gather(*(client.publish("a", bytes(100_000)) for _ in range(100))), 10)
            for _ in range(100):
                await next_of(client)
            broker.pause()
            assert "no sign of life" in await asyncio.wait_for(client.lost(), 4)
            await client.close()
        finally:
            broker.stop()

    uvloop.run(main())
