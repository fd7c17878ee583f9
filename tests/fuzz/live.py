"""A running gateway behind proxies that change what real servers send: Modbus, OPC UA, MQTT.

What counts is the rule of tests/hostile: the neighbour, the memory, SIGTERM; and that nothing that comes is a bug of the
gateway.
"""

import asyncio
import os
import random
import shutil
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from asyncua import Node, Server, ua

from tests.fuzz.mutator import Mutator
from tests.hostile.mqtt import COMMANDS, message, packet, rebirth
from tests.hostile.plant import MOST_GROWTH_BYTES, MOST_ONCE_S, MOST_STOP_S, Plant
from tests.support.listener import Listener
from tests.support.modbus_server import ScriptedServer
from tests.support.network import free_port
from tests.support.opcua_server import AsyncuaServer

_CHANGED: Final = 0.2
"""The part of what a server sends at once that is changed: so little that sessions stand for a while."""
_KEPT_CHUNKS: Final = 256
"""Of what was sent last, for a finding."""
_NEVER: Final = 2**62
_COMMAND_EVERY_S: Final = 0.02


class MutatingProxy(Listener):
    """Passes bytes to a server and back, and changes some of what the server says.

    Attributes:
        changed: How many times.
        sent: What was sent last, with a mark at what was changed.
    """

    def __init__(self, target: int, seed: str) -> None:
        super().__init__()
        self._target = target
        self._rng = random.Random(seed)
        self._mutator = Mutator([b"\0"])
        self.is_on = False
        self.changed = 0
        self.sent: deque[bytes] = deque(maxlen=_KEPT_CHUNKS)
        self.reached = threading.Event()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers |= {writer, far_writer}
        ways = [asyncio.create_task(self._pass(*way)) for way in ((reader, far_writer, False), (far_reader, writer, True))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            self._writers -= {writer, far_writer}
            writer.transport.abort()
            far_writer.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, down: bool) -> None:
        held, before = b"", self.changed
        with suppress(OSError):
            while chunk := await reader.read(65_536):
                if down and self.is_on and self._rng.random() < _CHANGED:
                    chunk, held = self._change(chunk + held)
                    self.sent.append(b"--changed--" + chunk)
                elif down:
                    chunk, held = chunk + held, b""
                    self.sent.append(b"--as-it-was--" + chunk)
                writer.write(chunk)
                await writer.drain()
                if down and self.changed > before:  # whoever now waits for what never comes has a second
                    before = _NEVER
                    asyncio.get_running_loop().call_later(self._rng.uniform(0.1, 1.0), writer.transport.abort)

    def _change(self, chunk: bytes) -> tuple[bytes, bytes]:
        """Return what is sent instead, and what comes late, behind what comes next."""
        self.changed += 1
        self.reached.set()
        if self._rng.random() < 0.1:
            return b"", chunk
        return self._mutator.changed(self._rng, chunk), b""


class _Peer:
    """A real server behind a proxy, as a peer of a plant."""

    def __init__(self, seed: str) -> None:
        self._seed = seed

    @property
    def proxy(self) -> MutatingProxy:
        """What changes."""
        return self._proxy

    @property
    def reached(self) -> threading.Event:
        """Set once something was changed."""
        return self._proxy.reached

    async def start(self, broker: int) -> None:
        """Listen."""
        self._proxy = MutatingProxy(await self._target(broker), self._seed)
        await self._proxy.__aenter__()

    async def stop(self) -> None:
        """End."""
        await self._proxy.__aexit__()

    async def attack(self, on: bool) -> None:
        """Begin to change; off: pass everything on."""
        self._proxy.is_on = on

    def device(self) -> str:
        """Return no device file."""
        return ""

    def broker(self) -> str:
        """Return no broker's URL."""
        return ""

    async def _target(self, broker: int) -> int:
        return broker


class _ModbusPeer(_Peer):
    async def _target(self, broker: int) -> int:
        self._server = ScriptedServer(free_port())
        await self._server.start()
        return self._server.port

    async def stop(self) -> None:
        await super().stop()
        await self._server.stop()

    def device(self) -> str:
        tags = "".join(f"  - {{name: t{n}, address: 'holding:{40 * n}', type: float32}}\n" for n in range(10))
        return f"protocol: modbus\nurl: tcp://127.0.0.1:{self.proxy.port}\ninterval: 50ms\ntimeout: 200ms\ntags:\n{tags}"


class _Variables(AsyncuaServer):
    """Values of many kinds that change."""

    async def fill(self, server: Server, line: Node) -> None:
        given: list[Any] = [
            "text",
            True,
            [1.0, 2.0, 3.0],
            b"bytes",
            ua.LocalizedText("t"),
            ua.Range(0.0, 1.0),
            [["a"], ["b"]],
        ]
        for number, value in enumerate(given):
            with suppress(ua.UaError):
                await line.add_variable(ua.NodeId(f"w{number}", 2), f"2:w{number}", value)

    async def vary(self) -> None:
        """Change doubles for ever."""
        number = 0
        while True:
            number += 1
            await self.write(number % 5, float(number))
            await asyncio.sleep(0.02)


class _OpcUaPeer(_Peer):
    async def _target(self, broker: int) -> int:
        port = free_port()
        self._server = _Variables(port)
        await self._server.start()
        self._varying = asyncio.create_task(self._server.vary())
        return port

    async def stop(self) -> None:
        self._varying.cancel()
        await super().stop()
        await self._server.stop()

    def device(self) -> str:
        nodes = [*(f"v{n}" for n in range(5)), *(f"w{n}" for n in range(7))]
        tags = "".join(f"  - {{name: {node}, node: 'ns=2;s={node}'}}\n" for node in nodes)
        return (
            f"protocol: opcua\nurl: opc.tcp://127.0.0.1:{self.proxy.port}\nsecurity: none\ninterval: 50ms\nsampling: 50ms\n"
            f"events: [{{}}]\ntags:\n{tags}"
        )


class _BrokerPeer(_Peer):
    async def _target(self, broker: int) -> int:
        self._asking = asyncio.create_task(self._ask(broker))
        return broker

    async def stop(self) -> None:
        self._asking.cancel()
        await super().stop()

    async def _ask(self, port: int) -> None:
        """Send the gateway commands for ever, at QoS 0."""
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(packet(0x10, b"\0\x04MQTT\x05\x02\0\0\0\0\x01p"))
        while True:
            await asyncio.sleep(_COMMAND_EVERY_S)
            writer.write(message(COMMANDS, rebirth()))

    def broker(self) -> str:
        return f"mqtt://127.0.0.1:{self.proxy.port}"


LIVE: Final[dict[str, Callable[[str], _Peer]]] = {
    "live-modbus": _ModbusPeer,
    "live-opcua": _OpcUaPeer,
    "live-mqtt": _BrokerPeer,
}
"""By name, as `--door` takes it."""
_ROOT: Final = "publish:\n  layout: sparkplug\n"


def run_live(name: str, seed: str, seconds: float) -> Iterator[tuple[int, str, bytes]]:
    """Yield how many times something was changed, what is wrong or "", and what was sent."""
    mosquitto = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if mosquitto is None:
        yield 0, "mosquitto is not installed: make servers", b""
        return
    peer = LIVE[name](f"{seed}/{name}")
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # a disk that others keep busy is no finding
    folder = Path(tempfile.mkdtemp(prefix="fuzz-", dir=memory))
    with Plant(folder, mosquitto, {name: peer}, root=_ROOT if name == "live-mqtt" else "") as plant:
        told: set[str] = set()
        for fault in _watched(plant, name, seconds):
            content = b"".join(peer.proxy.sent)
            told_now = "" if fault in told else fault
            told.add(fault)
            yield peer.proxy.changed, told_now, content if "bug" not in fault else content + plant.gateway.log().encode()
        took_s = plant.stop()
        if took_s > MOST_STOP_S:
            yield peer.proxy.changed, f"SIGTERM is obeyed after {took_s:.1f} s", b"".join(peer.proxy.sent)
    shutil.rmtree(folder)


def _watched(plant: Plant, name: str, seconds: float) -> Iterator[str]:
    """Look at the gateway twice a second; "" while all is well."""
    plant.run()
    before = plant.resident()
    plant.attack(name)
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        toll = plant.watched()
        log = plant.gateway.log()
        if toll.worst_s > MOST_ONCE_S:
            yield f"the neighbour waits {toll.worst_s:.2f} s"
        elif plant.resident() - before > MOST_GROWTH_BYTES:
            yield f"the memory grows by {(plant.resident() - before) >> 20} MiB"
        elif "please report it" in log or "Traceback" in log:
            yield "a bug: " + next(line for line in log.splitlines() if "please report it" in line or "Error" in line)[:300]
        else:
            yield ""
