"""OPC UA servers to test against: asyncua's in this process, node-opcua's in its own."""

import asyncio
import json
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from asyncua import Node, Server, ua
from asyncua.server.binary_server_asyncio import BinaryServer
from asyncua.server.event_generator import EventGenerator
from cryptography import x509

from tests.support.opcua_space import quick_servers

READY_S = 60.0
TYPES = Path(__file__).parents[1] / "node" / "types.NodeSet2.xml"
"""Data types of a server's own, for both servers."""


class AsyncuaServer:
    """asyncua's own server on loopback with doubles ns=2;s=v0, v1 ... `async with AsyncuaServer(port) as server`."""

    def __init__(self, port: int, count: int = 5) -> None:
        self._port = port
        self._count = count
        self._server: Server | None = None
        self._doors: list[BinaryServer] = []
        self.namespaces_before: tuple[str, ...] = ()
        self.url = f"opc.tcp://127.0.0.1:{port}"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start afresh: all variables are 0."""
        quick_servers()
        server = Server()
        server.iserver.bind_condition_methods = 500
        await server.init()
        server.set_endpoint(self.url)
        server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        for uri in self.namespaces_before:
            await server.register_namespace(uri)
        self._index = index = await server.register_namespace("urn:gateway:test")
        line = await server.nodes.objects.add_object(index, "Line")
        for i in range(self._count):
            await line.add_variable(ua.NodeId(f"v{i}", index), f"{index}:v{i}", 0.0)
        await self.fill(server, line)
        await server.start()
        self._server = server

    async def fill(self, server: Server, line: Node) -> None:
        """More variables, before clients come; to be overridden."""

    async def stop(self) -> None:
        """End; connections break."""
        server, self._server = self._server, None
        for door in self._doors:
            await door.stop()
        self._doors.clear()
        if server is not None:
            await server.stop()

    @property
    def server(self) -> Server:
        """asyncua's object, while it runs."""
        assert self._server is not None
        return self._server

    async def write(self, i: int, value: object, status: int = 0, time: datetime | None = None) -> None:
        """Set variable v`i`."""
        assert self._server is not None
        node = self._server.get_node(ua.NodeId(f"v{i}", self._index))
        time = time or datetime.now(UTC)
        await node.write_value(ua.DataValue(ua.Variant(value), ua.StatusCode(status), SourceTimestamp=time))

    async def historize(self, *numbers: int, most_at_once: int = 10_000) -> None:
        """Remember all values of these variables, to be read in parts of `most_at_once`."""
        self.server.iserver.history_manager.storage.max_history_data_response_size = most_at_once
        for i in numbers:
            await self.server.historize_node_data_change(self.server.get_node(ua.NodeId(f"v{i}", self._index)))

    async def also_at(self, port: int) -> str:
        """Serve the same at another port, whose address this is: as good as one more server, and a second cheaper."""
        door = BinaryServer(self.server.iserver, "127.0.0.1", port, self.server.limits)
        door.set_policies(self.server._policies)
        await door.start()
        self._doors.append(door)
        return f"opc.tcp://127.0.0.1:{port}"

    async def forget(self) -> None:
        """End all clients' sessions, with their subscriptions, and tell nobody."""
        for session in list(self.server.iserver._external_sessions.values()):
            await session.close_session(True)

    async def emitter(self, kind: int) -> EventGenerator:
        """Sends events of a type from the Server object."""
        return await self.server.get_event_generator(ua.NodeId(kind), self.server.nodes.server)

    async def stand(self, level: int, state: int = 0) -> None:
        """Set ServiceLevel and ServerState."""
        await self.server.get_node("i=2267").write_value(ua.Variant(level, ua.VariantType.Byte))
        await self.server.get_node("i=2259").write_value(ua.Variant(state, ua.VariantType.Int32))

    async def add(self, name: str, value: object = 0.0) -> None:
        """Add a variable ns=2;s=`name`."""
        assert self._server is not None
        await self._server.nodes.objects.add_variable(ua.NodeId(name, 2), name, value)


class NodeServer:
    """node-opcua's server in a process of its own. `async with NodeServer(...) as server`.

    script: tests/node/opcua_server.js with its options, or tests/node/opcua_secure_server.js, which has none.
    """

    def __init__(self, node: Path, port: int, store: Path, *, script: str = "opcua_server.js", **options: int | str) -> None:
        plain = script == "opcua_server.js"
        last = json.dumps({"folder": str(store), **options}) if plain else str(store)
        self._command = (str(node / script), str(port), last)
        self._process: asyncio.subprocess.Process | None = None
        self.url = f"opc.tcp://127.0.0.1:{port}/{'test' if plain else 'secure'}"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Return once clients may connect."""
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(
            "node", *self._command, stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.DEVNULL
        )
        assert self._process.stdout is not None
        async with asyncio.timeout(READY_S):
            while (line := await self._process.stdout.readline()).strip() != b"ready":
                if not line:
                    raise RuntimeError(f"the server ended with {await self._process.wait()}")

    def command(self, **what: object) -> None:
        """Tell the running server to do something (see opcua_server.js)."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(what).encode() + b"\n")

    async def kill(self) -> None:
        """SIGKILL."""
        assert self._process is not None
        self._process.kill()
        await self._process.wait()

    async def starve(self, for_s: float) -> None:
        """Let it have no CPU for a while; its sockets stay open."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(for_s)
        self._process.send_signal(signal.SIGCONT)

    async def stop(self) -> None:
        """End it in order if it still runs."""
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        assert process.stdin is not None
        process.stdin.close()
        try:
            async with asyncio.timeout(5):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


class MortalServer:
    """asyncua's server in a process of its own that can be killed and is back at once (see opcua_mortal)."""

    def __init__(self, port: int, count: int, folder: Path | None = None) -> None:
        """folder: with its certificate and its ledger; without one there is no security."""
        last = [] if folder is None else [str(folder)]
        self._command = ("-m", "tests.support.opcua_mortal", str(port), str(count), *last)
        self.url = f"opc.tcp://127.0.0.1:{port}"

    async def __aenter__(self) -> Self:
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(sys.executable, *self._command, stdin=pipe, stdout=pipe)
        await self._hear("built")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()

    async def live(self) -> None:
        """Begin a life; return once clients may connect."""
        await self._say("live", "ready")

    async def kill(self) -> None:
        """End it with SIGKILL; connections break."""
        await self._say("kill", "dead")

    async def _say(self, command: str, answer: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command}\n".encode())
        await self._hear(answer)

    async def _hear(self, answer: str) -> None:
        assert self._process.stdout is not None
        async with asyncio.timeout(READY_S):
            line = await self._process.stdout.readline()
        assert line.startswith(answer.encode()), line


class ForeignMortal:
    """node-opcua's server as a `MortalServer` with a folder: the process of the next life is made ready during this one."""

    def __init__(self, node: Path, port: int, count: int, folder: Path) -> None:
        self._command = ("node", str(node / "opcua_mortal.js"), str(port), str(folder), str(count))
        self._folder = folder
        self._lives = 0
        self._now: asyncio.subprocess.Process | None = None
        self._next: asyncio.subprocess.Process | None = None
        self.url = f"opc.tcp://127.0.0.1:{port}/mortal"

    async def __aenter__(self) -> Self:
        self._next = await self._spawned()
        await _hear(self._next, "built")
        return self

    async def __aexit__(self, *_: object) -> None:
        for process in (self._now, self._next):
            if process is not None and process.returncode is None:
                process.kill()
                await process.wait()

    @property
    def certificate(self) -> x509.Certificate:
        """What clients have to trust; once the server was built."""
        (path,) = (self._folder / "server" / "own" / "certs").glob("*.pem")
        return x509.load_pem_x509_certificate(path.read_bytes())

    async def live(self) -> None:
        """Begin a life; return once clients may connect."""
        assert self._next is not None
        process, self._next = self._next, None
        if self._lives:
            await _hear(process, "built")
        self._lives += 1
        assert process.stdin is not None
        process.stdin.write(f"{self._lives}\n".encode())
        await _hear(process, "ready")
        self._now, self._next = process, await self._spawned()

    async def kill(self) -> None:
        """End it with SIGKILL; connections break."""
        assert self._now is not None
        self._now.kill()
        await self._now.wait()

    async def _spawned(self) -> asyncio.subprocess.Process:
        pipe, null = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
        return await asyncio.create_subprocess_exec(*self._command, stdin=pipe, stdout=pipe, stderr=null)


async def _hear(process: asyncio.subprocess.Process, word: str) -> None:
    assert process.stdout is not None
    async with asyncio.timeout(READY_S):
        while (line := await process.stdout.readline()).strip() != word.encode():
            assert line, f"the server ended with {await process.wait()}"
