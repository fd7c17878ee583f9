"""Servers that attack the sinks beside MQTT: every open ends with a reason, in time, and no answer fills the memory."""

import asyncio
import ssl
import struct
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.core.errors import NotConnected
from tests.support.listener import Listener
from tests.support.mosquitto import Authority
from tests.support.sink_stand import build

MOST_SENT = 48 << 20
Attack = Callable[["Hostile", asyncio.StreamReader, asyncio.StreamWriter], Any]


class Hostile(Listener):
    """Does what an attack says to each connection."""

    def __init__(self, attack: Attack) -> None:
        super().__init__()
        self._attack = attack
        self.sent = 0

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            await self._attack(self, reader, writer)
        except (OSError, EOFError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def send(self, writer: asyncio.StreamWriter, *pieces: bytes) -> None:
        for piece in pieces:
            writer.write(piece)
            self.sent += len(piece)
            await writer.drain()

    async def for_ever(self, writer: asyncio.StreamWriter, piece: bytes) -> None:
        """As long as somebody reads; four times what a test allows at most."""
        while self.sent < 4 * MOST_SENT:
            await self.send(writer, piece)


async def silent(server: Hostile, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await reader.read(65536):
        pass


async def hangs_up(server: Hostile, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def garbage(server: Hostile, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    await server.send(writer, bytes(range(256)) * 16)
    await reader.read(65536)


async def zeros(server: Hostile, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await server.for_ever(writer, bytes(1 << 16))


async def endless_text(server: Hostile, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """What looks like the begin of an answer in each protocol, and goes on."""
    await reader.read(1)
    await server.send(writer, b"HTTP/1.1 400 Bad Request\r\nContent-Length: 9999999999\r\n\r\n")
    await server.for_ever(writer, b"R" * (1 << 16))


async def endless_header(server: Hostile, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    await server.send(writer, b"HTTP/1.1 200 OK\r\nX: ")
    await server.for_ever(writer, b"y" * (1 << 16))


async def huge_claim(server: Hostile, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A length of 2 GiB in Kafka's frames and PostgreSQL's messages, and then all of it."""
    await reader.read(1)
    await server.send(writer, struct.pack(">i", 0x7FFFFFFF), b"R" + struct.pack(">i", 0x7FFFFFFF))
    await server.for_ever(writer, bytes(1 << 16))


async def many_messages(server: Hostile, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """PostgreSQL lets everybody in, and then has notices without end."""
    await reader.read(1)
    await server.send(writer, b"R\0\0\0\x08\0\0\0\0S\0\0\0\x18server_version\x0015.0\0Z\0\0\0\x05I")
    await server.for_ever(writer, (b"N" + struct.pack(">i", 40) + b"SNOTICE\0" + b"M" * 26 + b"\0\0") * 1000)


ATTACKS = (silent, hangs_up, garbage, zeros, endless_text, endless_header, huge_claim, many_messages)
KINDS: dict[str, Callable[[int], dict[str, Any]]] = {
    "kafka": lambda port: {"brokers": f"127.0.0.1:{port}", "connect_timeout": "1s"},
    "postgres": lambda port: {"url": f"postgresql://127.0.0.1:{port}/plant", "password": "x", "connect_timeout": "1s"},
    "influx": lambda port: {"url": f"http://127.0.0.1:{port}", "token": "x", "connect_timeout": "1s"},
}


@pytest.fixture(autouse=True)
async def no_bug() -> AsyncIterator[None]:
    """Nothing that a server sends may end in an exception that nobody has caught."""
    caught: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: caught.append(context))
    yield
    await asyncio.sleep(0)
    assert not caught, caught


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
@pytest.mark.parametrize("kind", KINDS)
async def test_an_open_ends_with_a_reason_and_the_memory_stays(kind: str, attack: Attack) -> None:
    async with Hostile(attack) as server:
        sink = build(kind, **KINDS[kind](server.port))
        opening = asyncio.ensure_future(sink.open())
        await asyncio.wait([opening], timeout=60)
        if (kind, attack) == ("influx", endless_text):  # an answer of HTTP, of which the first 64 KiB are read
            await opening
        else:
            with pytest.raises(NotConnected, match=r"."):
                await opening
        await asyncio.wait_for(sink.close(), 60)
        assert server.sent < MOST_SENT


@pytest.mark.parametrize("kind", KINDS)
async def test_a_certificate_of_somebody_else_is_refused(kind: str, tmp_path: Path) -> None:
    certificate, key = Authority(tmp_path).issue("127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if kind == "postgres":
            await reader.readexactly(8)
            writer.write(b"S")
            await writer.start_tls(context)
        await reader.read(1)
        writer.close()

    async def quietly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except (OSError, EOFError):
            writer.close()

    server = await asyncio.start_server(quietly, "127.0.0.1", 0, ssl=None if kind == "postgres" else context)
    async with server:
        port = server.sockets[0].getsockname()[1]
        settings = KINDS[kind](port) | {"tls": {}}
        if kind == "influx":
            settings = {"url": f"https://127.0.0.1:{port}", "token": "x"}
        sink = build(kind, **settings)
        with pytest.raises(NotConnected, match=rf"is not trusted: set {kind}\.tls\.ca") as caught:
            await asyncio.wait_for(sink.open(), 60)
        assert caught.value.security == "certificate_refused"
        await sink.close()


async def test_an_answer_of_influx_that_trickles_ends_in_time() -> None:
    async def trickles(server: Hostile, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65536)
        await server.send(writer, b"HTTP/1.1 500 Oh\r\nContent-Length: 60000\r\n\r\n")
        end = time.monotonic() + 60
        while time.monotonic() < end:
            await server.send(writer, b"x")
            await asyncio.sleep(0.1)

    async with Hostile(trickles) as server:
        sink = build("influx", **KINDS["influx"](server.port))
        with pytest.raises(NotConnected):
            await asyncio.wait_for(sink.open(), 40)
        await sink.close()
