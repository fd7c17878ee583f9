"""The whole gateway with a database as its only sink: kills of either side cost no message and leave none twice."""

import asyncio
import re
from pathlib import Path

import pytest

from tests.support.gateway import GatewayProcess, Modbus, write_config
from tests.support.line import EVERY_WINDOW, impatient
from tests.support.modbus_server import ScriptedServer
from tests.support.network import free_port, until
from tests.support.postgres import PASSWORD, Postgres

pytestmark = pytest.mark.timeout(300)


def with_sink(config: Path, section: str) -> Path:
    """Put another sink in the place of the broker."""
    path = config / "gateway.yaml"
    path.write_text(re.sub(r"mqtt:\n(  .*\n)+", section, path.read_text()))
    return config


async def test_kills_of_the_database_and_of_the_gateway_leave_each_message_once(tmp_path: Path, postgres: Path) -> None:
    server = Postgres(postgres)
    await server.start()
    async with ScriptedServer(free_port()) as device:
        devices = [
            Modbus(name, f"tcp://127.0.0.1:{device.port}", 5, unit, interval="200ms") for unit, name in enumerate("ab", 1)
        ]
        config = with_sink(
            write_config(tmp_path, "mqtt://localhost", devices, root=EVERY_WINDOW),
            f"postgres:\n  url: {server.url}\n  username: gateway\n  password: {PASSWORD}\n",
        )
        gateway = GatewayProcess(config)
        gateway.program = ("-c", impatient())
        with gateway:
            newest = await _windows_after(server, gateway, 0)
            server.kill()
            await until(lambda: "sink connection lost" in gateway.log(), 60, gateway.log)
            gateway.kill()
            gateway.start()
            await server.start()
            newest = await _windows_after(server, gateway, newest)
            server.kill()
            await server.start()
            await _windows_after(server, gateway, newest)
            assert await asyncio.to_thread(gateway.terminate) == 0
            assert PASSWORD not in gateway.log()
    page = (Path(__file__).parents[2] / "docs" / "postgres.md").read_text()
    query = re.findall(r"```sql\n(WITH came.*?)```", page, re.DOTALL)[0]
    rows = await server.execute(query)
    assert {(row["gateway"], row["topic"].rsplit("/", 2)[1]) for row in rows} >= {("test", "a"), ("test", "b")}
    assert not [dict(row) for row in rows if row["missing"]]
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
