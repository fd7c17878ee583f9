"""The whole gateway with Kafka as its only sink, while the broker is killed again and again, and the gateway too.

`make kills` does the first with a hundred kills (KAFKA_KILLS=100).
"""

import asyncio
import contextlib
import json
import os
import re
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiokafka import ConsumerRecord

from tests.support.gateway import ROOT, GatewayProcess, Modbus, write_config
from tests.support.kafka import Kafka, headers_of
from tests.support.line import EVERY_WINDOW, impatient
from tests.support.modbus_server import ScriptedServer
from tests.support.network import free_port, until

KILLS = int(os.environ.get("KAFKA_KILLS", "2"))
pytestmark = pytest.mark.timeout(180 + 60 * KILLS)
TOPICS = ("plant.window", "plant.summary", "plant.event", "plant.stats", "plant.value")
DEVICES = ("press", "line", "oven")


@dataclass
class Plant:
    """Everything that is running."""

    broker: Kafka
    gateway: GatewayProcess

    async def windows_after(self, ts: int) -> int:
        """Wait until every device has a later window in the log; returns the newest `ts`."""
        newest: dict[bytes, int] = {}

        async def complete() -> bool:
            for record in await self.broker.read(["plant.window"]):
                newest[record.key] = max(newest.get(record.key, 0), record.timestamp)
            return len(newest) == len(DEVICES) and min(newest.values()) > ts

        await _until(complete, 60, lambda: f"windows after {ts}: {newest}; {self.gateway.log()[-1500:]}")
        return max(newest.values())


async def _until(condition: Callable[[], Awaitable[bool]], deadline_s: float, what: Callable[[], str]) -> None:
    holds = [False]

    async def look() -> None:
        while not holds[0]:
            holds[0] = await condition()
            await asyncio.sleep(0.1)

    looking = asyncio.create_task(look())
    try:
        await until(looking.done, deadline_s, what)
        looking.result()
    finally:
        looking.cancel()


@contextlib.asynccontextmanager
async def plant(folder: Path, **settings: str) -> AsyncIterator[Plant]:
    (folder / "broker").mkdir()
    broker = Kafka(folder / "broker")
    await broker.start()
    await broker.create(*TOPICS)
    async with ScriptedServer(free_port()) as device:
        url = f"tcp://127.0.0.1:{device.port}"
        devices = [Modbus(name, url, 5, unit, interval="200ms") for unit, name in enumerate(DEVICES, 1)]
        config = write_config(folder, "mqtt://localhost", devices, root=EVERY_WINDOW)
        own = "".join(f"  {key}: {value}\n" for key, value in settings.items())
        text = re.sub(r"mqtt:\n(  .*\n)+", f"kafka:\n  brokers: {broker.address}\n  topic: plant.{{stream}}\n{own}",
                      (config / "gateway.yaml").read_text())  # fmt: skip
        (config / "gateway.yaml").write_text(text)
        gateway = GatewayProcess(config)
        gateway.program = ("-c", impatient())
        gateway.start()
        try:
            yield Plant(broker, gateway)
        finally:
            gateway.kill()
            broker.kill()


def lost_numbers(bodies: list[dict[str, Any]]) -> dict[tuple[str, str], int]:
    """How many numbers of each boot and topic are declared lost."""
    lost: dict[tuple[str, str], int] = defaultdict(int)
    for body in bodies:
        if body.get("kind") == "loss":
            lost[body["of_boot"], body["topic"]] += body["count"]
    return lost


def numbers_of(records: list[ConsumerRecord]) -> dict[tuple[str, str], list[int]]:
    """The numbers of each boot and topic, in the order of the log."""
    numbers: dict[tuple[str, str], list[int]] = defaultdict(list)
    for record in records:
        headers = headers_of(record)
        numbers[headers["boot"], headers["topic"]].append(int(headers["seq"]))
    return numbers


async def test_killed_brokers_cost_no_message_no_repetition_and_no_order(tmp_path: Path, kafka_jars: Path) -> None:
    async with plant(tmp_path, timeout="120s") as running:
        newest = await running.windows_after(0)
        for _ in range(KILLS):
            running.broker.kill()
            await asyncio.sleep(0.2)
            await running.broker.start()
            newest = await running.windows_after(newest)
        assert await asyncio.to_thread(running.gateway.terminate) == 0
        records = await running.broker.read(TOPICS)
    lost = lost_numbers([json.loads(record.value) for record in records])
    numbers = numbers_of(records)
    assert {topic.rsplit("/", 2)[1] for _, topic in numbers if topic.endswith("/window")} == set(DEVICES)
    for source, came in numbers.items():
        assert came == sorted(set(came)), f"{source}: out of order or twice: {came}"
        assert len(came) + lost[source] == came[-1], f"{source}: {came} and {lost[source]} declared lost"


async def test_a_killed_gateway_sends_again_and_the_consumer_of_the_page_drops_it(tmp_path: Path, kafka_jars: Path) -> None:
    """An outage longer than the timeout, a kill -9 of the gateway in the middle of it: nothing is missing."""
    page = (ROOT / "docs" / "kafka.md").read_text()
    consumer: dict[str, Any] = {}
    exec(re.search(r"```python\n(.*?)```", page, re.DOTALL)[1], consumer)  # type: ignore[index]  # the page's own code
    async with plant(tmp_path, timeout="1s") as running:
        newest = await running.windows_after(0)
        running.broker.kill()
        await until(lambda: "sink connection lost" in running.gateway.log(), 60, running.gateway.log)
        running.gateway.kill()
        running.gateway.start()
        await running.broker.start()
        await running.windows_after(newest)
        assert await asyncio.to_thread(running.gateway.terminate) == 0
        count = len(await running.broker.read(TOPICS))
        log = numbers_of(await running.broker.read(TOPICS))
        distinct = {(*source, seq) for source, came in log.items() for seq in came}
        assert count >= len(distinct)
        numbers: dict[tuple[str, str], set[int]] = defaultdict(set)
        bodies: list[dict[str, Any]] = []
        stream = consumer["messages"](running.broker.address, *TOPICS)
        for _ in distinct:
            topic, body = await asyncio.wait_for(anext(stream), 60)
            assert body["seq"] not in numbers[body["boot"], topic], "what is there twice comes once"
            numbers[body["boot"], topic].add(body["seq"])
            bodies.append(body)
        await stream.aclose()
    lost = lost_numbers(bodies)
    for source, came in numbers.items():
        assert len(came) + lost[source] == max(came), f"{source}: {sorted(came)}, {lost[source]} declared lost"
