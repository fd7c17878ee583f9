"""The whole gateway stopped, and killed, while an OPC UA server with a history goes on: no value is counted twice."""

import asyncio
import itertools
import json
import sqlite3
from contextlib import ExitStack, closing
from pathlib import Path

from gateway.sources.opcua.source.history.watermark import LEASE_S
from tests.support.gateway import GatewayProcess, Subscriber, write_config
from tests.support.line import EVERY_WINDOW
from tests.support.mosquitto import Mosquitto
from tests.support.network import free_port, until
from tests.support.opcua_server import AsyncuaServer

PERIOD_S = 0.05
HELD_S = 2.5
"""Window, grace and commit: what was handed on so long before a kill may be lost."""
DEVICE = """protocol: opcua
url: {url}
security: none
interval: 100ms
sampling: 20ms
queue_size: 200
timeout: 2s
history: true
history_kept: {folder}
tags:
  - {{name: level, node: ns=2;s=v0}}
"""


class Writer:
    """Writes 1, 2, 3 ... into the server, each once."""

    def __init__(self, server: AsyncuaServer) -> None:
        self.count = 0
        self._server = server

    async def run(self) -> None:
        for k in itertools.count(1):
            await self._server.write(0, float(k))
            self.count = k
            await asyncio.sleep(PERIOD_S)

    async def more(self, count: int) -> None:
        """Wait until so many more are written."""
        target = self.count + count
        await until(lambda: self.count >= target, 30, f"{count} more values")


def kept_state(folder: Path) -> dict:
    """What the outbox has of the device, beside its limit."""
    with closing(sqlite3.connect(next(folder.rglob("*.db")))) as db:
        ((value,),) = db.execute("SELECT value FROM watermark WHERE key = 'opcua/state/plc'")
        return json.loads(value)


async def test_stopped_nothing_is_missing_and_killed_nothing_is_told_twice(tmp_path, mosquitto):
    (tmp_path / "broker").mkdir()
    broker = Mosquitto(mosquitto, tmp_path / "broker")
    await broker.start()
    kept = tmp_path / "kept"
    async with AsyncuaServer(free_port(), 1) as server:
        await server.historize(0)
        text = DEVICE.format(url=server.url, folder=kept)
        config = write_config(tmp_path, broker.url, [], root=EVERY_WINDOW, files={"plc.yaml": text})
        with Subscriber(broker.port) as subscriber, GatewayProcess(config) as gateway, ExitStack() as tasks:
            writer = Writer(server)
            writing = asyncio.create_task(writer.run())
            tasks.callback(writing.cancel)

            def told(kind: str) -> list[dict]:
                return [m.payload for m in subscriber.of("/plc/event") if m.payload["kind"] == kind]

            def rows() -> list[dict]:
                return [m.payload["tags"]["level"] for m in subscriber.of("/plc/window") if "level" in m.payload["tags"]]

            def values() -> list[tuple[int, float, float]]:
                return [(row["n"], row["min"], row["max"]) for row in rows() if row["n"] and row["min"] is not None]

            def missing() -> set[int]:
                spans = [range(round(low), round(high) + 1) for _, low, high in values()]
                in_force = {round(row["last"]) for row in rows() if row["last"] is not None}
                there = in_force.union(*spans)
                return set(range(min(there), max(there))) - there

            async def live(since: int) -> None:
                await until(lambda: any(high > since for _, _, high in values()), 40, gateway.log()[-2000:])

            await live(10)
            for life in range(2):  # stopped in order, twice
                assert await asyncio.to_thread(gateway.terminate) == 0
                assert kept_state(tmp_path)["exact"]
                await writer.more(25)
                gateway.start()
                await until(lambda life=life: len(told("history")) > life, 40, gateway.log()[-2000:])
                await live(writer.count)
            # What is in force when a life begins is told as such, or by the next value; it counts in no window.
            await until(lambda: len(missing()) <= 2, 10, "every value, live or from history")
            windows = [m.payload for m in subscriber.of("/plc/window")]
            assert any(window["hist"] and window.get("late") for window in windows), "what was read back is history"
            stopped = sum(n for n, _, _ in values())
            assert stopped <= writer.count + 1, "no value is counted twice"
            assert all("skipped_ms" not in event for event in told("history"))
            await asyncio.to_thread(gateway.kill)
            assert not kept_state(tmp_path)["exact"], "it was written when the gap was known"
            await writer.more(25)
            gateway.start()
            await until(lambda: any("skipped_ms" in event for event in told("history")), 40, gateway.log()[-2000:])
            await live(writer.count)
            skipped = [event["skipped_ms"] for event in told("history") if "skipped_ms" in event and "resumed" not in event]
            assert skipped[0] <= 1000 * (LEASE_S + HELD_S), "no longer than the note was ahead"
            assert await asyncio.to_thread(gateway.terminate) == 0
            total = sum(n for n, _, _ in values())
            assert stopped < total <= writer.count + 1, "no value is counted twice"
    broker.stop()
