"""One gateway with a broker, Kafka and PostgreSQL: each gets every message once, and none waits for one that was killed."""

import asyncio
import json
import re
from collections import defaultdict
from pathlib import Path

import pytest

from tests.fault.test_gateway_broker import ledger_of
from tests.support.gateway import ROOT
from tests.support.kafka import Kafka, headers_of
from tests.support.line import EVERY_WINDOW, Line, running_line
from tests.support.network import until
from tests.support.postgres import PASSWORD, Postgres

pytestmark = pytest.mark.timeout(300)
TOPICS = ("plant.window", "plant.summary", "plant.event", "plant.stats", "plant.value")


def with_three(line: Line, kafka: Kafka, database: Postgres) -> None:
    """Give the gateway the two others beside its broker."""
    path = line.gateway.config / "gateway.yaml"
    sinks = (
        f"sinks:\n  - {{name: here, kind: mqtt, url: '{line.broker.url}'}}\n"
        f"  - {{name: lake, kind: kafka, brokers: '{kafka.address}', topic: 'plant.{{stream}}'}}\n"
        f"  - {{name: rows, kind: postgres, url: '{database.url}', password: {PASSWORD}}}\n"
    )
    path.write_text(re.sub(r"mqtt:\n(  .*\n)+", lambda _: sinks, path.read_text()))


async def test_each_has_every_message_once_and_none_waits_for_another(
    tmp_path: Path, mosquitto: str, kafka_jars: Path, postgres: Path
) -> None:
    (tmp_path / "kafka").mkdir()
    kafka, database = Kafka(tmp_path / "kafka"), Postgres(postgres)
    await asyncio.gather(kafka.start(), database.start())
    await kafka.create(*TOPICS)
    async with running_line(tmp_path, mosquitto, root=EVERY_WINDOW) as line:
        await asyncio.to_thread(line.gateway.terminate)
        with_three(line, kafka, database)
        line.gateway.start()
        await line.more_windows(2)
        kafka.kill()
        before = len(line.windows())
        await line.more_windows(3)
        assert not any(window.payload["hist"] for window in line.windows()[before:]), "the broker gets them live"
        database.kill()
        await line.more_windows(2)
        await asyncio.gather(kafka.start(), database.start())
        await line.more_windows(2)
        newest = max(window.payload["ts"] for window in line.windows())
        await until_there(kafka, database, newest, line)
        assert await asyncio.to_thread(line.gateway.terminate) == 0
        await until(lambda: ledger_of(line).report().complete, 30, lambda: str(ledger_of(line).report()))
        sent = {(window.payload["boot"], window.payload["seq"]) for window in line.windows()}
        log = await kafka.read(TOPICS)
    numbers: dict[tuple[str, str], list[int]] = defaultdict(list)
    for record in log:
        numbers[headers_of(record)["boot"], headers_of(record)["topic"]].append(int(headers_of(record)["seq"]))
    for source, came in numbers.items():
        assert sorted(came) == list(range(1, max(came) + 1)), f"{source}: {came}"
    windows = {(boot, seq) for (boot, topic), came in numbers.items() if topic.endswith("/press/window") for seq in came}
    assert windows <= sent
    assert not [json.loads(record.value) for record in log if json.loads(record.value).get("kind") == "loss"]
    page = (ROOT / "docs" / "postgres.md").read_text()
    rows = await database.execute(re.findall(r"```sql\n(WITH came.*?)```", page, re.DOTALL)[0])
    assert rows
    assert not [dict(row) for row in rows if row["missing"]]
    kafka.kill()
    database.kill()


async def until_there(kafka: Kafka, database: Postgres, ts: int, line: Line) -> None:
    """Wait until both have the window of `ts`."""
    async with asyncio.timeout(120):
        while True:
            rows = await database.execute("SELECT extract(epoch FROM max(ts)) * 1000 AS newest FROM gateway_windows")
            log = await kafka.read(["plant.window"])
            if rows[0]["newest"] and rows[0]["newest"] >= ts and max((one.timestamp for one in log), default=0) >= ts:
                return
            await asyncio.sleep(0.2)
