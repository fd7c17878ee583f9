"""The whole gateway stopped, and killed, while it reads a server's history back: each value once, or told as skipped."""

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from tests.support.gateway import GatewayProcess, Subscriber, write_config
from tests.support.line import EVERY_WINDOW
from tests.support.mosquitto import Mosquitto
from tests.support.network import free_port, until
from tests.support.opcua_server import AsyncuaServer, NodeServer

COUNT = 3000
DEVICE = """protocol: opcua
url: {url}
security: none
interval: 100ms
sampling: 50ms
queue_size: 200
timeout: 5s
silence: 0s
history: true
history_samples: 100000
history_kept: {folder}
tags:
  - {{name: level, node: {node}}}
"""


class Past:
    """What a subscriber was told of one tag."""

    def __init__(self, subscriber: Subscriber) -> None:
        self._subscriber = subscriber

    def values(self) -> Counter[float]:
        """How often each value was counted. One window holds one value, or all that lie between its least and greatest."""
        counted: Counter[float] = Counter()
        for message in self._subscriber.of("/plc/window"):
            row = message.payload["tags"].get("level")
            if row is None or not row["n"] or row["min"] is None:
                continue
            assert row["n"] == row["max"] - row["min"] + 1, "values of one window follow each other"
            counted.update(float(k) for k in range(round(row["min"]), round(row["max"]) + 1))
        return counted

    def events(self) -> list[dict]:
        return [m.payload for m in self._subscriber.of("/plc/event") if m.payload["kind"] == "history"]

    def skipped(self, time_ms: float) -> bool:
        """It lies in a time of which somebody was told."""
        spans = [(one["skipped_from"], one["skipped_ms"]) for one in self.events() if "skipped_ms" in one]
        return any(begin - 1 <= time_ms <= begin + length + 1 for begin, length in spans)


@pytest.mark.parametrize("kill", [False, True], ids=["stopped", "killed"])
async def test_a_gap_of_an_hour_survives_ends_in_the_middle(tmp_path, mosquitto, kill):
    """One value for each of the last 3000 seconds, of which the gateway has heard the first one."""
    (tmp_path / "broker").mkdir()
    broker = Mosquitto(mosquitto, tmp_path / "broker")
    await broker.start()
    begin = datetime.now(UTC) - timedelta(seconds=COUNT + 60)
    times = {float(k): begin + timedelta(seconds=k) for k in range(COUNT)}
    async with AsyncuaServer(free_port(), 1) as server:
        await server.historize(0)
        await server.write(0, 0.0, time=times[0.0])
        text = DEVICE.format(url=server.url, folder=tmp_path / "kept", node="ns=2;s=v0")
        config = write_config(tmp_path, broker.url, [], root=EVERY_WINDOW, files={"plc.yaml": text})
        with Subscriber(broker.port) as subscriber, GatewayProcess(config) as gateway:
            past = Past(subscriber)

            def is_known() -> bool:
                rows = [m.payload["tags"].get("level") for m in subscriber.of("/plc/window")]
                return any(row is not None and row["last"] == 0.0 for row in rows)

            await until(is_known, 60, gateway.log()[-2000:])
            assert await asyncio.to_thread(gateway.terminate) == 0
            for k in range(1, COUNT):
                await server.write(0, float(k), time=times[float(k)])
            for _ in range(2):
                before = past.values().total()
                gateway.start()
                await until(lambda before=before: past.values().total() > before + 100, 60, gateway.log()[-2000:])
                if kill:
                    await asyncio.to_thread(gateway.kill)
                else:
                    assert await asyncio.to_thread(gateway.terminate) == 0
                assert past.values().total() < COUNT - 2, "it was in the middle"
            gateway.start()
            await until(lambda: any("resumed" in one and one["to"] for one in past.events()), 60, gateway.log()[-2000:])

            def untold() -> list[int]:  # the first and last were in force
                counted = past.values()
                missing = [k for k in range(1, COUNT - 1) if not counted[float(k)]]
                return [k for k in missing if not past.skipped(times[float(k)].timestamp() * 1000)]

            # What was in the outbox when the gateway was killed comes after what is new.
            await until(lambda: not untold(), 60, "every value, or that it was skipped")
            assert await asyncio.to_thread(gateway.terminate) == 0
            assert any("skipped_ms" in one for one in past.events()) == kill
            counted = past.values()
            assert max(counted.values()) == 1, "no value is counted twice"
            assert len(counted) > 200, "it was not all skipped"
    broker.stop()


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    """Where node-opcua keeps its certificates, made once."""
    return tmp_path_factory.mktemp("opcua-store")


@pytest.mark.parametrize("kill", [False, True], ids=["stopped", "killed"])
async def test_a_foreign_servers_values_come_once_whenever_the_gateway_ends(tmp_path, mosquitto, node, store, kill):
    """It ends again and again as soon as something of its gap is told."""
    (tmp_path / "broker").mkdir()
    broker = Mosquitto(mosquitto, tmp_path / "broker")
    await broker.start()
    async with NodeServer(node, free_port(), store, count=1, period=100, history=10_000) as server:
        text = DEVICE.format(url=server.url, folder=tmp_path / "kept", node="ns=1;s=v0")
        config = write_config(tmp_path, broker.url, [], root=EVERY_WINDOW, files={"plc.yaml": text})
        with Subscriber(broker.port) as subscriber, GatewayProcess(config) as gateway:
            past = Past(subscriber)
            await until(lambda: past.values().total() > 10, 60, gateway.log()[-2000:])
            for life in range(3):
                if kill:
                    await asyncio.to_thread(gateway.kill)
                else:
                    assert await asyncio.to_thread(gateway.terminate) == 0
                await asyncio.sleep(1.0 + life)
                newest = max(past.values())
                gateway.start()
                await until(lambda newest=newest: max(past.values()) > newest, 60, gateway.log()[-2000:])
            await until(lambda: bool(past.events()), 60, gateway.log()[-2000:])
            assert await asyncio.to_thread(gateway.terminate) == 0
            counted = past.values()
            assert max(counted.values()) == 1, "no value is counted twice"
    broker.stop()
