"""The whole gateway with `window.late: replace`: what a server sends late is the whole window again, and overwrites it."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.support.gateway import GatewayProcess, Subscriber, write_config
from tests.support.line import EVERY_WINDOW
from tests.support.mosquitto import Mosquitto
from tests.support.network import free_port, until
from tests.support.opcua_server import AsyncuaServer

ROOT = EVERY_WINDOW + "window: {late: replace}\n"
DEVICE = """protocol: opcua
url: {url}
security: none
interval: 100ms
sampling: 50ms
tags:
  - {{name: level, node: "ns=2;s=v0"}}
  - {{name: flow, node: "ns=2;s=v1"}}
"""


class Store:
    """A consumer that overwrites by (topic, ts), and adds up what is no replacement nor first."""

    def __init__(self, subscriber: Subscriber) -> None:
        self._subscriber = subscriber

    def windows(self) -> dict[int, dict[str, Any]]:
        return {m.payload["ts"]: m.payload for m in self._subscriber.of("/plc/window")}

    def row(self, ts: int, tag: str) -> dict[str, Any]:
        row: dict[str, Any] = self.windows().get(ts, {"tags": {}})["tags"].get(tag, {"n": 0})
        return row


async def test_a_late_value_is_in_the_window_that_overwrites(tmp_path: Path, mosquitto: str) -> None:
    """Both tags of the device come again, over all samples, and the proof of completeness knows no gap."""
    (tmp_path / "broker").mkdir()
    broker = Mosquitto(mosquitto, tmp_path / "broker")
    await broker.start()
    async with AsyncuaServer(free_port(), 2) as server:
        files = {"plc.yaml": DEVICE.format(url=server.url)}
        config = write_config(tmp_path, broker.url, [], root=ROOT, files=files)
        with Subscriber(broker.port) as subscriber, GatewayProcess(config) as gateway:
            store = Store(subscriber)
            await until(lambda: any("level" in one["tags"] for one in store.windows().values()), 60, gateway.log()[-2000:])
            begin = datetime.now(UTC)
            await server.write(0, 1.0, time=begin)
            await server.write(1, 2.0, time=begin)
            ts = int(begin.timestamp()) * 1000
            await until(lambda: store.row(ts, "level")["n"] and store.row(ts, "flow")["n"], 60, gateway.log()[-2000:])
            before = store.windows()[ts]
            await server.write(0, 50.0, time=datetime.fromtimestamp(ts / 1e3, UTC))
            await until(lambda: store.row(ts, "level").get("max") == 50.0, 60, gateway.log()[-2000:])
            whole = store.windows()[ts]
            assert (whole["late"], whole["replaces"], whole["dur"]) == (True, True, 1000)
            assert whole["seq"] > before["seq"]
            assert store.row(ts, "level")["n"] > before["tags"]["level"]["n"]
            assert (store.row(ts, "level")["first"], store.row(ts, "level")["last"]) == (50.0, 1.0)
            assert (store.row(ts, "flow")["n"], store.row(ts, "flow")["last"]) == (before["tags"]["flow"]["n"], 2.0)
            assert await asyncio.to_thread(gateway.terminate) == 0
        numbers = sorted(m.payload["seq"] for m in subscriber.of("/plc/window"))
        assert numbers == list(range(1, len(numbers) + 1))
    broker.stop()
