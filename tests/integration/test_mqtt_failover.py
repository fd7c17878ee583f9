"""Several brokers: the next one at once, back when a better one stays, and nothing disturbed meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from gateway.core.clock import SystemClock
from gateway.core.errors import NotConnected
from gateway.layouts.device.layout import DeviceLayout
from gateway.sinks.mqtt.client import MqttClient
from gateway.sinks.mqtt.config import MqttConfig
from tests.integration.test_mqtt import outbox_of
from tests.support.mosquitto import Mosquitto
from tests.support.mqtt_publisher import mqtt_publisher
from tests.support.network import free_port, until
from tests.support.proxy import Proxy
from tests.support.status import QuietStatus

SHORT_NS = 400_000_000


@pytest.fixture
async def pair(mosquitto: str, tmp_path: Path) -> AsyncIterator[list[tuple[Mosquitto, Proxy]]]:
    """Two brokers, each behind a proxy."""
    async with AsyncExitStack() as stack:
        pair = []
        for name in ("first", "second"):
            (tmp_path / name).mkdir()
            broker = Mosquitto(mosquitto, tmp_path / name)
            await broker.start()
            stack.callback(broker.stop)
            pair.append((broker, await stack.enter_async_context(Proxy(broker.port))))
        yield pair


def client_of(*urls: str, return_after_ns: int = SHORT_NS) -> MqttClient:
    config = MqttConfig(url=list(urls), timeout="500ms").model_copy(update={"return_after": return_after_ns})
    return MqttClient(config, client_id="gw")


async def connects_to(client: MqttClient, proxy: Proxy) -> None:
    before = proxy.connections
    await client.open()
    await asyncio.wait_for(client.publish("a", b"x"), 5)
    assert proxy.connections > before


async def test_the_next_one_takes_over_and_the_first_one_gets_it_back(pair: list[tuple[Mosquitto, Proxy]]) -> None:
    (_, first), (_, second) = pair
    client = client_of(first.url, second.url)
    await connects_to(client, first)
    first.refuse = True
    first.cut()
    await asyncio.wait_for(client.lost(), 5)
    await connects_to(client, second)
    probes = first.refused + 2
    await until(lambda: first.refused >= probes, what="two probes that the first one refuses")
    await asyncio.wait_for(client.publish("a", b"x"), 5)
    first.refuse = False
    assert await asyncio.wait_for(client.lost(), 10) == f"going back to mqtt://127.0.0.1:{first.port}"
    await connects_to(client, first)
    await client.close()


async def test_a_first_one_that_hangs_costs_one_timeout_and_disturbs_nothing(pair: list[tuple[Mosquitto, Proxy]]) -> None:
    (broker, first), (_, second) = pair
    broker.pause()
    client = client_of(first.url, second.url, return_after_ns=10_000_000_000)
    await connects_to(client, second)
    lost = asyncio.create_task(client.lost())
    futures = [client.publish("a", b"%d" % n) for n in range(300)]
    await asyncio.wait_for(asyncio.gather(*futures), 5)
    assert not lost.done()
    await client.close()
    broker.resume()


async def test_a_probe_leaves_nothing_behind(pair: list[tuple[Mosquitto, Proxy]]) -> None:
    """It says nothing in MQTT, so the broker never sees the client id twice."""
    (broker, first), (_, second) = pair
    first.refuse = True
    client = client_of(first.url, second.url, return_after_ns=SHORT_NS)
    await connects_to(client, second)
    first.refuse = False
    lost = asyncio.create_task(client.lost())
    await until(lambda: first.connections >= 2, what="probes")
    assert "as gw" not in broker.log()
    await asyncio.wait_for(lost, 10)
    await until(lambda: first.open_connections == 0, what="probes are closed")
    await client.close()


async def test_when_none_is_there_all_reasons_are_told() -> None:
    urls = [f"mqtt://127.0.0.1:{free_port()}" for _ in range(3)]
    with pytest.raises(NotConnected) as caught:
        await client_of(*urls).open()
    assert str(caught.value).count("is the broker running") == 3


async def test_close_ends_the_probing(pair: list[tuple[Mosquitto, Proxy]]) -> None:
    (_, first), (_, second) = pair
    first.refuse = True
    client = client_of(first.url, second.url)
    await connects_to(client, second)
    await client.close()
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "mqtt: probing" and not task.cancelling()]


async def test_a_publisher_goes_on_at_the_second_and_comes_back_to_the_first(pair: list[tuple[Mosquitto, Proxy]]) -> None:
    """Killed in the middle of it: everything is acknowledged by one or the other, and the first one is used again."""
    (broker, first), (_, second) = pair
    outbox = outbox_of(1500)
    publisher = mqtt_publisher(
        client_of(first.url, second.url),
        outbox,
        SystemClock(),
        in_flight=20,
        ack_timeout_s=1.0,
        layout=DeviceLayout(),
        status=QuietStatus(),
        delays=lambda: iter([0.05] * 1000),
    )
    run = asyncio.create_task(publisher.run())
    await until(lambda: len(outbox.acked) >= 500, 20, "the first one takes messages")
    first.refuse = True
    broker.kill()
    await until(lambda: len(outbox.acked) >= 1500, 20, "the second one takes the rest")
    assert sorted(message.seq for message in outbox.acked) == list(range(1, 1501))
    await broker.start()
    first.refuse = False
    await until(lambda: first.open_connections > 0 and second.open_connections == 0, 20, "back at the first one")
    outbox.put_next(100)
    await until(lambda: len(outbox.acked) == 1600, 20, "and it takes messages")
    assert not outbox.refused
    await publisher.stop(1.0, "stopped")
    await run
