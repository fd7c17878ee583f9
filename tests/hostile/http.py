"""Clients of the page that attack: slow, huge, many, malformed, from another site."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from tests.support.network import free_port

PORT: Final = free_port()
"""Where the gateway of this process's door listens."""
ROOT: Final = f"web:\n  listen: 127.0.0.1:{PORT}\n"
_ASK: Final = b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n"
Client = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def _read_all(reader: asyncio.StreamReader) -> None:
    while await reader.read(65_536):
        pass


def _flood(piece: bytes) -> Client:
    """Send the same bytes again and again, and read what comes."""

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reading = asyncio.create_task(_read_all(reader))
        try:
            while not reading.done():
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)
        finally:
            reading.cancel()
            with suppress(asyncio.CancelledError, OSError):
                await reading

    return client


def _once(piece: bytes) -> Client:
    """Send bytes, and read nothing."""

    async def client(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(piece)
        await asyncio.sleep(3600)

    return client


async def _dripping(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send a header byte by byte."""
    for _byte in range(100_000):
        writer.write(b"G")
        await writer.drain()
        await asyncio.sleep(0.05)


async def _leaving(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Ask, and be gone."""
    writer.write(_ASK % b"/metrics")


_FOREIGN: Final = b"GET /api/v1/status HTTP/1.1\r\nHost: evil.example\r\nOrigin: http://evil.example\r\n\r\n"
_BODY: Final = b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999999999999\r\n\r\n"
_CHUNKED: Final = b"GET / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
ATTACKS: Final[dict[str, tuple[int, Client]]] = {
    "headers byte by byte": (100, _dripping),
    "requests without pause": (16, _flood(_ASK % b"/api/v1/tags?limit=1000")),
    "pipelined requests": (8, _flood((_ASK % b"/metrics") * 400)),
    "streams that nobody reads": (60, _once(_ASK % b"/api/v1/stream?tags=0")),
    "headers without end": (16, _flood(b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 1_000)),
    "a line without end": (16, _flood(b"GET /" + b"a" * 65_536)),
    "a body without end": (16, _flood(_BODY + bytes(65_536))),
    "chunks without end": (16, _flood(_CHUNKED + b"1\r\na\r\n" * 9_000)),
    "no HTTP": (16, _flood(b"\x16\x03\x01\x02\x00" + bytes(65_536))),
    "connections that come and go": (16, _leaving),
    "another site's requests": (16, _flood(_FOREIGN)),
}  # fmt: skip
"""How many clients at once, and what each does until it is thrown out, and then again."""


class HttpPeer:
    """Clients of the gateway that do nothing until they attack."""

    def __init__(self, folder: Path, clients: int, client: Client) -> None:
        del folder
        self.reached = threading.Event()
        self._attacks = False
        self._clients = clients
        self._client = client
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, broker: int) -> None:
        """Nothing: it is a client."""
        del broker

    async def stop(self) -> None:
        """End."""
        await self.attack(False)

    async def attack(self, on: bool) -> None:
        """Let all clients attack; off: all leave."""
        self._attacks = on
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._tasks = [asyncio.create_task(self._again_and_again()) for _ in range(self._clients if on else 0)]

    async def _again_and_again(self) -> None:
        while self._attacks:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
            except OSError:
                await asyncio.sleep(0.05)
                continue
            try:
                self.reached.set()
                await self._client(reader, writer)
            except OSError:
                await asyncio.sleep(0.01)
            finally:
                writer.transport.abort()

    def device(self) -> str:
        """Return no device file."""
        return ""

    def broker(self) -> str:
        """Return no broker."""
        return ""


def _peer(clients: int, client: Client) -> Callable[[Path], HttpPeer]:
    return lambda folder: HttpPeer(folder, clients, client)


PEERS: Final = {what: _peer(*how) for what, how in ATTACKS.items()}
