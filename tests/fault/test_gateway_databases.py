"""The whole gateway with a database as its only sink: kills of either side cost no message and leave none twice."""

import asyncio
import json
import re
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.gateway import ROOT, GatewayProcess, Modbus, write_config
from tests.support.influx import Influx1
from tests.support.line import EVERY_WINDOW, impatient
from tests.support.modbus_server import ScriptedServer
from tests.support.network import free_port, until
from tests.support.postgres import PASSWORD, Postgres

pytestmark = pytest.mark.timeout(300)


@asynccontextmanager
async def plant(folder: Path, section: str) -> AsyncIterator[GatewayProcess]:
    """Two devices and a gateway with this sink, running."""
    async with ScriptedServer(free_port()) as device:
        url = f"tcp://127.0.0.1:{device.port}"
        devices = [Modbus(name, url, 5, unit, interval="200ms") for unit, name in enumerate("ab", 1)]
        config = write_config(folder, "mqtt://localhost", devices, root=EVERY_WINDOW)
        path = config / "gateway.yaml"
        path.write_text(re.sub(r"mqtt:\n(  .*\n)+", section, path.read_text()))
        gateway = GatewayProcess(config)
        gateway.program = ("-c", impatient())
        with gateway:
            yield gateway


async def killed_again_and_again(server: Postgres | Influx1, gateway: GatewayProcess, newest: Callable[[int], Any]) -> None:
    """Kill the database, then the gateway while it is away, then the database once more; stop in the end.

    newest: waits until both devices have a window that is later, and returns the time of the newest.
    """
    last = await newest(0)
    server.kill()
    await until(lambda: "sink connection lost" in gateway.log(), 60, gateway.log)
    gateway.kill()
    gateway.start()
    await server.start()
    last = await newest(last)
    server.kill()
    await server.start()
    await newest(last)
    assert await asyncio.to_thread(gateway.terminate) == 0
    assert PASSWORD not in gateway.log()


async def test_postgres_has_each_message_once(tmp_path: Path, postgres: Path) -> None:
    server = Postgres(postgres)
    await server.start()
    section = f"postgres:\n  url: {server.url}\n  username: gateway\n  password: {PASSWORD}\n"
    async with plant(tmp_path, section) as gateway:
        await killed_again_and_again(server, gateway, lambda ts: _windows_after(server, gateway, ts))
    page = (ROOT / "docs" / "postgres.md").read_text()
    rows = await server.execute(re.findall(r"```sql\n(WITH came.*?)```", page, re.DOTALL)[0])
    assert {(row["gateway"], row["topic"].rsplit("/", 2)[1]) for row in rows} >= {("test", "a"), ("test", "b")}
    assert not [dict(row) for row in rows if row["missing"]]
    server.kill()


async def test_influxdb_has_each_message_once(tmp_path: Path, influxd: str) -> None:
    server = Influx1(influxd)
    await server.start()
    async with plant(tmp_path, f"influx:\n  url: {server.url}\n  version: 1\n") as gateway:

        async def newest(ts: int) -> int:
            for _ in range(600):
                rows = await server.rows("SELECT seq FROM gateway_window GROUP BY device ORDER BY time DESC LIMIT 1")
                if len(rows) == 2 and min(row["time"] for row in rows) > ts:
                    return max(row["time"] for row in rows)
                await asyncio.sleep(0.1)
            raise AssertionError(f"no windows after {ts}; {gateway.log()[-2000:]}")

        await killed_again_and_again(server, gateway, newest)
    lost = [json.loads(row["body"]) for row in await server.rows("SELECT body FROM gateway_event WHERE kind = 'loss'")]
    numbers: dict[tuple[str, str], list[int]] = defaultdict(list)
    for row in await server.rows("SELECT seq, boot FROM gateway_window WHERE \"tag\" = 't0' GROUP BY device"):
        numbers[row["boot"], row["device"]].append(row["seq"])
    assert len({boot for boot, _ in numbers}) == 2
    for (boot, device), came in numbers.items():
        assert len(came) == len(set(came)), "a point of its own for each window"
        gone = sum(
            one["count"] for one in lost if (one["of_boot"], one["topic"]) == (boot, f"plant/v1/test/{device}/window")
        )
        assert len(came) + gone == max(came), f"{boot} {device}: {sorted(came)}, {gone} declared lost"
    server.kill()


async def _windows_after(server: Postgres, gateway: GatewayProcess, ts: int) -> int:
    """Wait until both devices have a later window in the table; returns the newest time, ms."""
    query = (
        "SELECT min(newest) AS least, max(newest) AS most FROM (SELECT device, extract(epoch FROM max(ts)) * 1000 AS newest "
        "FROM gateway_windows WHERE stream = 'window' GROUP BY device) AS d HAVING count(*) = 2"
    )
    for _ in range(600):
        there = await server.execute("SELECT to_regclass('gateway_windows') IS NOT NULL AS made")
        if there[0]["made"] and (rows := await server.execute(query)) and rows[0]["least"] > ts:
            return int(rows[0]["most"])
        await asyncio.sleep(0.1)
    raise AssertionError(f"no windows after {ts}; {gateway.log()[-2000:]}")
