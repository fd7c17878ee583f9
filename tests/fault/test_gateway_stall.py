"""A gateway that is stopped while answers of its devices are on their way: no value gets a later time than its answer."""

import asyncio
import os
import signal
import struct
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.support.gateway import GatewayProcess, Subscriber, write_config
from tests.support.modbus_server import Ask, ScriptedServer
from tests.support.mosquitto import Mosquitto
from tests.support.network import free_port, until
from tests.support.opcua_server import AsyncuaServer

STOOD_S = 1.5
BOUND_MS = 100
"""What docs/modbus.md promises, and core/loop_watch keeps."""


class Device:
    """Answers each read with a text that it never gives again, and knows when it had sent each."""

    def __init__(self) -> None:
        self.sent_ms: dict[str, float] = {}
        self.freezes = 0
        self.frozen: list[str] = []
        self.stopped: Callable[[], int] = lambda: 0

    async def answer(self, ask: Ask, send: Callable[[bytes], object]) -> None:
        text = f"{len(self.sent_ms):06d}"
        pid = 0
        if self.freezes:
            self.freezes -= 1
            pid = self.stopped()
            os.kill(pid, signal.SIGSTOP)
            await until(lambda: _state(pid) == "T", 10, "the gateway is stopped")
            self.frozen.append(text)
        begin = time.monotonic()
        send(ask.frame(bytes((ask.function, 6)) + text.encode()))
        self.sent_ms[text] = time.time() * 1e3
        if pid:
            try:
                await until(lambda: time.monotonic() > begin + STOOD_S, 10, "a stand-still")
            finally:
                os.kill(pid, signal.SIGCONT)

    async def over_tcp(self, ask: Ask, writer: asyncio.StreamWriter) -> None:
        await self.answer(ask, writer.write)


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, device: Device) -> None:
        self._device = device
        self._answers: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        transaction, _, _, unit, function, start, count = struct.unpack(">HHHBBHH", data)
        ask = Ask(transaction, unit, function, start, count)
        task = asyncio.create_task(self._device.answer(ask, lambda frame: self._transport.sendto(frame, addr)))
        self._answers.add(task)
        task.add_done_callback(self._answers.discard)


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@asynccontextmanager
async def serving(device: Device, scheme: str) -> AsyncIterator[str]:
    port = free_port()
    if scheme == "tcp":
        async with ScriptedServer(port, device.over_tcp):
            yield f"tcp://127.0.0.1:{port}"
        return
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(device), local_addr=("127.0.0.1", port))
    try:
        yield f"udp://127.0.0.1:{port}"
    finally:
        transport.close()


@pytest.mark.parametrize(("scheme", "quality"), [("tcp", {"good"}), ("udp", {"uncertain"})])
async def test_a_stopped_process_gives_no_value_a_later_time_than_its_answer(tmp_path, mosquitto, scheme, quality):
    """Of a TCP connection the system knows when the answer came; else the value is uncertain, at the time of the request."""
    (tmp_path / "broker").mkdir()
    broker = Mosquitto(mosquitto, tmp_path / "broker")
    await broker.start()
    device = Device()
    async with serving(device, scheme) as url:
        tag = "{name: n, address: 'holding:0', type: string, length: 6}"
        text = f"protocol: modbus\nurl: {url}\ninterval: 200ms\ntags:\n  - {tag}\n"
        config = write_config(tmp_path, broker.url, [], files={"press.yaml": text})
        with Subscriber(broker.port) as subscriber, GatewayProcess(config) as gateway:

            def values() -> dict[str, tuple[float, str, str | None]]:
                found = [m.payload["tags"]["n"] for m in subscriber.of("/press/value")]
                return {v["value"]: (v["ts"], v["q"], v.get("reason")) for v in found if v["value"] is not None}

            def stalls() -> list[int]:
                return [m.payload["for_ms"] for m in subscriber.of("/event") if m.payload["kind"] == "stall"]

            await until(lambda: len(values()) > 3, 30, lambda: f"values; {gateway.log()[-1500:]}")
            assert gateway.process is not None
            pid = gateway.process.pid
            device.stopped = lambda: pid
            device.freezes = 1
            await until(lambda: set(device.frozen) & set(values()), 30, lambda: f"its value; log: {gateway.log()[-1500:]}")
            count = len(values())
            await until(lambda: len(values()) > count + 3, 30, "further values")
            await until(lambda: any(length >= STOOD_S * 1e3 for length in stalls()), 30, "the stand-still is reported")
            got = values()
    broker.stop()
    assert {got[text][1] for text in device.frozen} == quality
    assert quality == {"good"} or {got[text][2] for text in device.frozen} == {"time"}
    too_late = {text: (ts, device.sent_ms[text]) for text, (ts, _, _) in got.items() if ts > device.sent_ms[text] + BOUND_MS}
    assert not too_late


async def test_opcua_values_with_the_gateways_time_that_came_in_a_stand_still_are_uncertain(tmp_path, mosquitto):
    """Their time is that of the last turns of the loop before it, so nothing is stamped within it."""
    (tmp_path / "broker").mkdir()
    broker = Mosquitto(mosquitto, tmp_path / "broker")
    await broker.start()
    async with AsyncuaServer(free_port(), 1) as server:
        head = f"protocol: opcua\nurl: {server.url}\nsecurity: none\ntimes: gateway\ninterval: 100ms\nfound: {tmp_path}\n"
        text = f"{head}tags:\n  - {{name: n, node: ns=2;s=v0}}\n"
        config = write_config(tmp_path, broker.url, [], files={"press.yaml": text}, root="publish:\n  windows: all\n")
        with Subscriber(broker.port) as subscriber, GatewayProcess(config) as gateway:
            written = 0

            def windows() -> list[dict[str, object]]:
                return [m.payload["tags"]["n"] for m in subscriber.of("/press/window")]

            async def write() -> None:
                nonlocal written
                while True:
                    written += 1
                    await server.write(0, float(written))
                    await asyncio.sleep(0.1)

            writing = asyncio.create_task(write())
            await until(
                lambda: any(w["q"] == "good" for w in windows()), 40, lambda: f"values; log: {gateway.log()[-1500:]}"
            )
            assert gateway.process is not None
            pid, count = gateway.process.pid, written
            os.kill(pid, signal.SIGSTOP)
            try:
                await until(lambda: _state(pid) == "T", 10, "the gateway is stopped")
                begin, begin_ms = time.monotonic(), time.time() * 1e3
                await until(lambda: time.monotonic() > begin + STOOD_S and written > count + 3, 30, "a stand-still")
            finally:
                end_ms = time.time() * 1e3
                os.kill(pid, signal.SIGCONT)
            await until(
                lambda: any(w.get("reason") == "time" for w in windows()), 30, lambda: f"uncertain: {windows()[-5:]}"
            )
            writing.cancel()
            stamps = [w["last_ts"] for w in windows() if "last_ts" in w]
    broker.stop()
    assert not [stamp for stamp in stamps if begin_ms + BOUND_MS < stamp < end_ms - 1]


async def when_sent(ask: Ask, writer: asyncio.StreamWriter) -> None:
    """Answer a read of four registers, 50 ms later, with the time of the answer: ms since the epoch, float64."""
    await asyncio.sleep(0.05)
    writer.write(ask.frame(struct.pack(">BBd", ask.function, 8, time.time() * 1e3)))


@pytest.mark.parametrize("stood_s", [2.0, 6.0])
async def test_values_that_tell_when_they_were_made_never_get_a_later_time(tmp_path, mosquitto, stood_s):
    """An independent ledger: each value is the time at which its device made it, so each message proves itself."""
    (tmp_path / "broker").mkdir()
    broker = Mosquitto(mosquitto, tmp_path / "broker")
    await broker.start()
    async with ScriptedServer(port := free_port(), when_sent), AsyncuaServer(free_port(), 1) as server:
        modbus = "{name: n, address: 'holding:0', type: float64}"
        opcua = f"protocol: opcua\nurl: {server.url}\nsecurity: none\ninterval: 100ms\nfound: {tmp_path}\n"
        files = {
            "meter.yaml": f"protocol: modbus\nurl: tcp://127.0.0.1:{port}\ninterval: 100ms\ntags:\n  - {modbus}\n",
            "press.yaml": f"{opcua}tags:\n  - {{name: n, node: ns=2;s=v0}}\n",
        }
        config = write_config(tmp_path, broker.url, [], files=files, root="publish:\n  windows: all\n")
        with Subscriber(broker.port) as subscriber, GatewayProcess(config) as gateway:

            def made(device: str) -> list[tuple[float, float, str]]:
                """When made, the earliest time that the gateway can have given it, ms; quality."""
                rows = [(m.payload["ts"], m.payload["tags"]["n"]) for m in subscriber.of(f"/{device}/window")]
                return [(tag["last"], tag.get("last_ts", start), tag["q"]) for start, tag in rows if tag.get("last")]

            def good_since(since_ms: float) -> bool:
                return all(any(at > since_ms and q == "good" for at, _, q in made(one)) for one in ("meter", "press"))

            async def write() -> None:
                while True:
                    await server.write(0, time.time() * 1e3)
                    await asyncio.sleep(0.1)

            writing = asyncio.create_task(write())
            await until(lambda: good_since(1.0), 40, lambda: f"values; log: {gateway.log()[-1500:]}")
            assert gateway.process is not None
            pid = gateway.process.pid
            os.kill(pid, signal.SIGSTOP)
            try:
                await until(lambda: _state(pid) == "T", 10, "the gateway is stopped")
                begin = time.monotonic()
                await until(lambda: time.monotonic() > begin + stood_s, 10 + stood_s, "a stand-still")
            finally:
                end_ms = time.time() * 1e3
                os.kill(pid, signal.SIGCONT)
            await until(lambda: good_since(end_ms + 2_000), 60, lambda: f"values again; log: {gateway.log()[-1500:]}")
            writing.cancel()
            ledger = made("meter") + made("press")
    broker.stop()
    assert not [row for row in ledger if row[2] == "good" and row[1] > row[0] + 5 * BOUND_MS]
