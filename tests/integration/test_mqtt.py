"""The MQTT client against a real mosquitto: what it promises when the broker, the network or the password is bad."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.core.clock import SystemClock
from gateway.core.errors import NotConnected, Permanent
from gateway.layouts.device.layout import DeviceLayout
from gateway.runtime.publisher import Publisher
from gateway.sinks.mqtt.client import MqttClient
from gateway.sinks.mqtt.config import MqttConfig
from gateway.sinks.mqtt.types import ReceivedMessage, Will
from tests.support.mosquitto import Authority, Mosquitto, password_lines
from tests.support.mqtt_publisher import mqtt_publisher
from tests.support.network import free_port, until
from tests.support.outbox_fake import FakeOutbox
from tests.support.proxy import Proxy
from tests.support.status import QuietStatus

VERSIONS = pytest.mark.parametrize("version", ["5", "3.1.1"])


@pytest.fixture
async def broker(mosquitto: str, tmp_path: Path) -> AsyncIterator[Mosquitto]:
    """A mosquitto that is not started yet."""
    broker = Mosquitto(mosquitto, tmp_path, persistent=True)
    yield broker
    broker.stop()


async def opened(url: str, *, will: Will | None = None, **settings: Any) -> MqttClient:
    client = MqttClient(MqttConfig(url=url, **settings), will=will)
    await client.open()
    return client


async def refusal(url: str, **settings: Any) -> str:
    with pytest.raises(NotConnected) as caught:
        await opened(url, **settings)
    return str(caught.value)


async def next_of(client: MqttClient) -> ReceivedMessage:
    return await asyncio.wait_for(client.receive(), 5)


@VERSIONS
async def test_what_is_published_arrives(broker: Mosquitto, version: str) -> None:
    await broker.start()
    client = await opened(broker.url, version=version)
    await client.subscribe("a/#")
    payload = os.urandom(300_000)
    await client.publish("a/b", payload)
    assert await next_of(client) == ReceivedMessage("a/b", payload, 1, False, False)
    await client.close()


@VERSIONS
async def test_status_is_retained(broker: Mosquitto, version: str) -> None:
    await broker.start()
    client = await opened(broker.url, version=version)
    await client.publish("gw/status", b"online", retain=True)
    await client.subscribe("gw/status")
    assert (await next_of(client)).retain
    await client.close()


@VERSIONS
async def test_the_last_will_fires_when_the_socket_dies_and_not_after_close(broker: Mosquitto, version: str) -> None:
    await broker.start()
    watcher = await opened(broker.url)
    await watcher.subscribe("w")
    async with Proxy(broker.port) as proxy:
        client = await opened(proxy.url, version=version, will=Will("w", b"offline"))
        proxy.cut()
        await asyncio.wait_for(client.lost(), 5)
    assert (await next_of(watcher)).payload == b"offline"
    rude = await opened(broker.url, version=version, will=Will("w", b"offline, hung up"))
    await rude.close(abort=True)
    assert (await next_of(watcher)).payload == b"offline, hung up"
    polite = await opened(broker.url, version=version, will=Will("w", b"offline again"))
    await polite.close()
    await watcher.publish("w", b"nothing came before this")
    assert (await next_of(watcher)).payload == b"nothing came before this"
    await watcher.close()


@VERSIONS
async def test_password_right_and_wrong(broker: Mosquitto, mosquitto: str, tmp_path: Path, version: str) -> None:
    await broker.start(*password_lines(mosquitto, tmp_path, "gw", "secret"))
    client = await opened(broker.url, version=version, username="gw", password="secret")
    await client.close()
    for wrong in ({"username": "gw", "password": "wrong"}, {}):
        reason = await refusal(broker.url, version=version, **wrong)
        assert "not authorised" in reason or "bad user name or password" in reason
        assert "mqtt.password" in reason


async def test_tls_with_a_private_ca(broker: Mosquitto, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    await broker.start(*authority.tls_lines())
    client = await opened(f"mqtts://127.0.0.1:{broker.port}", tls={"ca": authority.certificate})
    await client.subscribe("a")
    futures = [client.publish("a", os.urandom(50_000)) for _ in range(40)]
    await asyncio.wait_for(asyncio.gather(*futures), 10)
    assert len([await next_of(client) for _ in range(40)]) == 40
    await client.close()


async def test_tls_failures_say_what_to_do(broker: Mosquitto, tmp_path: Path) -> None:
    authority, stranger = Authority(tmp_path), Authority(tmp_path, "stranger")
    await broker.start(*authority.tls_lines())
    url = f"mqtts://127.0.0.1:{broker.port}"
    assert "not trusted: set mqtt.tls.ca" in await refusal(url, tls={"ca": stranger.certificate})
    assert "mqtt.tls.ca: cannot read" in await refusal(url, tls={"ca": tmp_path / "absent.pem"})
    assert "mqtt.version" in await refusal(broker.url)
    client = await opened(url, tls={"insecure": True})
    await client.close()
    broker.stop()
    await broker.start(*authority.tls_lines("elsewhere.example"))
    assert "not for '127.0.0.1'" in await refusal(url, tls={"ca": authority.certificate})
    broker.stop()
    await broker.start(*authority.tls_lines(days=-1))
    assert "expired" in await refusal(url, tls={"ca": authority.certificate})


async def test_a_plain_port_is_not_a_tls_port(broker: Mosquitto) -> None:
    await broker.start()
    assert "TLS" in await refusal(f"mqtts://127.0.0.1:{broker.port}")


async def test_client_certificate(broker: Mosquitto, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    await broker.start(*authority.tls_lines(client=True))
    url, (certificate, key) = f"mqtts://127.0.0.1:{broker.port}", authority.issue("gw")
    client = await opened(url, tls={"ca": authority.certificate, "cert": certificate, "key": key})
    await client.close()
    assert "certificate" in (await refusal(url, tls={"ca": authority.certificate})).lower()


async def test_an_unreachable_broker_says_what_to_do() -> None:
    assert "is the broker running" in await refusal(f"mqtt://127.0.0.1:{free_port()}")
    assert "cannot be resolved" in await refusal("mqtt://no-such-host.invalid")


async def test_a_port_that_does_not_speak_mqtt_ends_in_the_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        assert "does not answer in MQTT" in await refusal(f"mqtt://127.0.0.1:{port}", timeout="300ms")


async def test_cancelling_open_returns_at_once_and_hangs_up(broker: Mosquitto) -> None:
    await broker.start()
    async with Proxy(broker.port) as proxy:
        proxy.stall()
        client = MqttClient(MqttConfig(url=proxy.url, timeout="30s"))
        attempt = asyncio.create_task(client.open())
        await until(lambda: proxy.connections == 1, what="connected")
        attempt.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(attempt, 0.5)
        proxy.flow()
        await until(lambda: proxy.open_connections == 0, what="the socket is closed")


async def test_a_message_larger_than_the_broker_takes_is_refused_for_good(broker: Mosquitto) -> None:
    """mosquitto answers with 0x95, which paho alone takes for a broken packet."""
    await broker.start("message_size_limit 1000")
    client = await opened(broker.url)
    with pytest.raises(Permanent, match="packet too large"):
        await asyncio.wait_for(client.publish("a", bytes(2000)), 5)
    await asyncio.wait_for(client.publish("a", b"x"), 5)
    await client.close()


async def test_the_maximum_packet_size_is_honoured(broker: Mosquitto) -> None:
    await broker.start("max_packet_size 1000")
    client = await opened(broker.url)
    with pytest.raises(Permanent, match="at most 1000"):
        await client.publish("a", bytes(2000))
    await asyncio.wait_for(client.publish("a", bytes(900)), 5)
    await client.close()


async def test_a_topic_without_permission_is_refused_for_good(broker: Mosquitto, tmp_path: Path) -> None:
    (tmp_path / "acl").write_text("topic readwrite mine/#\n")
    await broker.start(f"acl_file {tmp_path / 'acl'}")
    client = await opened(broker.url)
    with pytest.raises(Permanent, match="not authorised"):
        await asyncio.wait_for(client.publish("other", b"x"), 5)
    await asyncio.wait_for(client.publish("mine/a", b"x"), 5)
    await client.close()


async def test_the_receive_maximum_is_honoured(broker: Mosquitto) -> None:
    await broker.start("max_inflight_messages 3")
    client = await opened(broker.url)
    broker.pause()
    futures = [client.publish("a", b"x") for _ in range(50)]
    await asyncio.sleep(0.05)
    broker.resume()
    await asyncio.wait_for(asyncio.gather(*futures), 5)
    await client.close()
    assert "receive maximum" not in broker.log().lower()


async def test_a_half_open_connection_is_noticed(broker: Mosquitto) -> None:
    await broker.start()
    async with Proxy(broker.port) as proxy:
        client = await opened(proxy.url, keepalive="1s")
        await client.publish("a", b"x")
        proxy.stall()
        flying = client.publish("a", b"y")
        assert "no sign of life" in await asyncio.wait_for(client.lost(), 4)
        with pytest.raises(NotConnected):
            await flying
        await client.close()


async def test_a_frozen_broker_does_not_hold_up_close(broker: Mosquitto) -> None:
    await broker.start()
    client = await opened(broker.url)
    broker.pause()
    for _ in range(200):
        client.publish("a", bytes(100_000))
    await asyncio.wait_for(client.close(), 3)
    broker.resume()


async def test_a_slow_reader_stops_reading_and_loses_nothing(broker: Mosquitto, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.sinks.mqtt.receive_queue._MOST_MESSAGES", 20)
    await broker.start("max_queued_messages 0")
    reader = await opened(broker.url)
    await reader.subscribe("a")
    writer = await opened(broker.url)
    await asyncio.gather(*(writer.publish("a", b"%d" % n) for n in range(500)))
    assert [int((await next_of(reader)).payload) for _ in range(500)] == list(range(500))
    await reader.close()
    await writer.close()
    with pytest.raises(NotConnected):
        await reader.receive()


def outbox_of(count: int) -> FakeOutbox:
    """An outbox in which `count` messages wait."""
    outbox = FakeOutbox()
    outbox.put_next(count)
    return outbox


def publisher_for(url: str, outbox: FakeOutbox, **settings: Any) -> Publisher:
    client = MqttClient(MqttConfig(url=url, **settings), client_id="gw", will=Will("gw/status", b"offline"))
    return mqtt_publisher(
        client,
        outbox,
        SystemClock(),
        in_flight=20,
        ack_timeout_s=1.0,
        layout=DeviceLayout(),
        status=QuietStatus(),
        delays=lambda: iter([0.05] * 1000),
    )


@VERSIONS
async def test_everything_is_acknowledged_although_the_broker_is_killed_again_and_again(
    broker: Mosquitto, version: str
) -> None:
    await broker.start()
    outbox = outbox_of(20_000)
    publisher = publisher_for(broker.url, outbox, version=version)
    run = asyncio.create_task(publisher.run())
    for goal in (300, 6000, 12_000):
        await until(lambda goal=goal: len(outbox.acked) >= goal, 20, f"{goal} acknowledged")
        broker.kill()
        await broker.start()
    await until(lambda: len(outbox.acked) >= 20_000, 20, "all acknowledged")
    assert sorted(message.seq for message in outbox.acked) == list(range(1, 20_001))
    assert not outbox.refused
    assert publisher.connects == 4
    await publisher.stop(1.0, "stopped")
    await run
    watcher = await opened(broker.url)
    await watcher.subscribe("gw/status")
    assert (await next_of(watcher)).payload == b"stopped"
    await watcher.close()


async def test_a_half_open_connection_costs_one_timeout(broker: Mosquitto) -> None:
    await broker.start()
    async with Proxy(broker.port) as proxy:
        outbox = outbox_of(20_000)
        publisher = publisher_for(proxy.url, outbox)
        run = asyncio.create_task(publisher.run())
        await until(lambda: len(outbox.acked) > 500, what="deliveries")
        proxy.stall()
        await until(lambda: not publisher.is_connected, 5, "the loss is noticed")
        proxy.cut()
        proxy.flow()
        await until(lambda: len(outbox.acked) == 20_000, 20, "all acknowledged")
        assert not outbox.refused
        await publisher.stop(1.0, "stopped")
        await run
