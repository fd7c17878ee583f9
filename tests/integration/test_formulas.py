"""Computed tags of real devices, through the whole gateway."""

import asyncio
import struct
import subprocess
import sys
import time
from pathlib import Path

from tests.support.gateway import GatewayProcess, Subscriber, write_config
from tests.support.modbus_server import Ask, ScriptedServer
from tests.support.mosquitto import Mosquitto
from tests.support.network import until
from tests.support.opcua_server import AsyncuaServer

PAUSE_S = 0.2
INVERTER = """\
protocol: modbus
url: tcp://127.0.0.1:{port}
interval: 500ms
tags:
  - {{name: W, address: "holding:0", type: int16, publish: false}}
  - {{name: W_SF, address: "holding:900", type: int16, publish: false}}
  - {{name: high, address: "holding:910", type: uint16, publish: false}}
  - {{name: low, address: "holding:1800", type: uint16, publish: false}}
  - {{name: refused, address: "holding:3000", type: uint16, publish: false}}
  - {{name: Power, formula: W * 10 ** W_SF, unit: W, hi: 300}}
  - {{name: Energy, formula: "signed(high * 65536 + low, 32)"}}
  - {{name: Broken, formula: W + refused}}
"""
LINE = """\
protocol: opcua
url: {url}
security: none
interval: 100ms
tags:
  - {{name: a, node: "{a}", publish: false}}
  - {{name: b, node: "{b}"}}
  - {{name: sum, formula: a + b}}
"""


class Inverter:
    """A SunSpec-like device: 245.6 W with another exponent after every pause between polls, its numbers far apart."""

    def __init__(self) -> None:
        self.exponent = -1
        self.torn = 0
        """Pauses within a poll, which only a machine that stood still makes: its numbers do not belong together."""
        self._asked: list[int] = []
        self._last_s = 0.0

    async def __call__(self, ask: Ask, writer: asyncio.StreamWriter) -> None:
        now_s = time.monotonic()
        if now_s - self._last_s > PAUSE_S:
            self.exponent = -3 - self.exponent
            self.torn += not {0, 900} <= set(self._asked)
            self._asked = []
        self._last_s = now_s
        self._asked.append(ask.start)
        image = {0: 2456 if self.exponent == -1 else 24560, 900: self.exponent & 0xFFFF, 910: 0xFFFF, 1800: 0xFFFB}
        if ask.start == 3000:
            writer.write(ask.exception(2))
            return
        words = struct.pack(f">{ask.count}H", *(image.get(at, 0) for at in range(ask.start, ask.start + ask.count)))
        writer.write(ask.frame(bytes((ask.function, len(words))) + words))


async def test_an_exponent_that_changes_while_it_runs_never_shows(tmp_path: Path, mosquitto: str, port: int) -> None:
    (tmp_path / "broker").mkdir()
    broker = Mosquitto(mosquitto, tmp_path / "broker")
    await broker.start("max_queued_messages 100000")
    config = write_config(
        tmp_path, broker.url, [], root="publish:\n  windows: all\n", files={"inverter.yaml": INVERTER.format(port=port)}
    )
    inverter = Inverter()
    async with ScriptedServer(port, inverter):
        with Subscriber(broker.port) as subscriber, GatewayProcess(config) as gateway:

            def rows(tag: str) -> list[dict[str, object]]:
                return [row for m in subscriber.of("/inverter/window") if (row := m.payload["tags"].get(tag))]

            await until(lambda: len(rows("Power")) >= 5 and len(rows("Broken")) >= 3, 40, "windows")
            assert await asyncio.to_thread(gateway.terminate) == 0
        full = [row for row in rows("Power") if row["n"]]
        wrong = [row for row in full if (row["min"], row["max"], row["q"]) != (245.6, 245.6, "good")]
        assert len(wrong) <= inverter.torn - 1, wrong  # the first poll is counted, too
        assert max(row["n"] for row in full) == 2  # type: ignore[type-var]
        assert {row["last"] for row in rows("Energy") if row["n"]} == {-5.0}
        assert {(row["q"], row.get("reason")) for row in rows("Broken")[1:]} == {("bad", "address")}
        shown = {tag for m in subscriber.of("/inverter/window") for tag in m.payload["tags"]}
        assert shown == {"Power", "Energy", "Broken"}
        alarms = [m for m in subscriber.of("/inverter/event") if m.payload["kind"] == "alarm"]
        assert not alarms or inverter.torn > 1, alarms
    broker.stop()


async def test_read_shows_what_is_computed_from_the_same_poll(tmp_path: Path, port: int) -> None:
    config = write_config(tmp_path, "mqtt://127.0.0.1:1", [], files={"inverter.yaml": INVERTER.format(port=port)})

    async def read(*names: str) -> tuple[int, list[str]]:
        command = [sys.executable, "-m", "gateway", "read", "inverter", *names, "--config", str(config)]
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60)
        return done.returncode, [" ".join(line.split()) for line in done.stdout.splitlines()]

    async with ScriptedServer(port, Inverter()):
        code, lines = await read()
        assert code == 1, "a tag is refused"
        assert {"Power 245.6 W good", "Energy -5 good", "Broken without refused"} <= set(lines)
        code, lines = await read("Power")
        assert code == 0
        assert {"tag address type raw value quality", "Power 245.6 W good"} <= set(lines)
        assert [line.split()[0] for line in lines if "int16" in line] == ["W", "W_SF"], "its operands alone"
        code, lines = await read("Powr")
        assert (code, lines) == (2, [])


async def test_subscribed_operands_are_what_they_are_until_they_change(tmp_path: Path, mosquitto: str, port: int) -> None:
    (tmp_path / "broker").mkdir()
    broker = Mosquitto(mosquitto, tmp_path / "broker")
    await broker.start("max_queued_messages 100000")
    async with AsyncuaServer(port) as server:
        await server.write(0, 1.0)
        await server.write(1, 10.0)
        text = LINE.format(url=server.url, a="ns=2;s=v0", b="ns=2;s=v1")
        config = write_config(tmp_path, broker.url, [], files={"line.yaml": text})
        with Subscriber(broker.port) as subscriber, GatewayProcess(config) as gateway:

            def last() -> list[object]:
                rows = [row for m in subscriber.of("/line/window") if (row := m.payload["tags"].get("sum"))]
                return [row["last"] for row in rows if row["q"] == "good"]

            await until(lambda: last()[-1:] == [11.0], 30, "the first sum")
            await server.write(1, 20.0)
            await until(lambda: last()[-1:] == [21.0], 20, "the sum after one has changed")
            assert await asyncio.to_thread(gateway.terminate) == 0
        assert not any("a" in m.payload["tags"] for m in subscriber.of("/line/window"))
    broker.stop()
