"""A Modbus TCP server that does what a script says: correct, wrong, late or silent. Built on asyncio streams alone."""

import asyncio
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass


@dataclass(frozen=True)
class Ask:
    """One read request as it came, and the frames that could answer it."""

    transaction: int
    unit: int
    function: int
    start: int
    count: int

    def frame(self, pdu: bytes, *, transaction: int | None = None, unit: int | None = None) -> bytes:
        """A whole frame (MODBUS Messaging on TCP/IP 1.0b, 3.1.3) around a PDU."""
        number = self.transaction if transaction is None else transaction
        return struct.pack(">HHHB", number, 0, len(pdu) + 1, self.unit if unit is None else unit) + pdu

    def pdu(self) -> bytes:
        """The right answer of a device in which every register holds its address and every bit its parity."""
        places = range(self.start, self.start + self.count)
        if self.function in (1, 2):
            bits = sum((place & 1) << shift for shift, place in enumerate(places))
            payload = bits.to_bytes((self.count + 7) // 8, "little")
        else:
            payload = struct.pack(f">{self.count}H", *places)
        return bytes((self.function, len(payload))) + payload

    def good(self) -> bytes:
        return self.frame(self.pdu())

    def exception(self, code: int) -> bytes:
        return self.frame(bytes((self.function | 0x80, code)))


Script = Callable[[Ask, asyncio.StreamWriter], Awaitable[None]]


async def obedient(ask: Ask, writer: asyncio.StreamWriter) -> None:
    """Answer as asked."""
    writer.write(ask.good())


async def silent(ask: Ask, writer: asyncio.StreamWriter) -> None:
    """Take the request and say nothing."""


class ScriptedServer:
    """`async with ScriptedServer(port) as server`: serves until the block ends. `script` may be changed at any time."""

    def __init__(self, port: int, script: Script = obedient) -> None:
        self.port = port
        self.script = script
        self.asks: list[Ask] = []
        self.asked = asyncio.Event()
        self._conversations: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    @property
    def open_connections(self) -> int:
        """Connections of clients that stand."""
        return len(self._conversations)

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def stop(self) -> None:
        """Close the listener and every connection."""
        if self._server is not None:
            self._server.close()
            for writer in list(self._writers):
                writer.transport.abort()
            await self._server.wait_closed()
            await asyncio.gather(*self._conversations)
            self._server = None

    async def __aenter__(self) -> "ScriptedServer":
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A task of our own: asyncio logs the cancellation of its own as an error."""
        conversation = asyncio.create_task(self._converse(reader, writer))
        self._conversations.add(conversation)
        conversation.add_done_callback(self._conversations.discard)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readexactly(12)
                transaction, _, _, unit, function, start, count = struct.unpack(">HHHBBHH", head)
                self.asks.append(Ask(transaction, unit, function, start, count))
                self.asked.set()
                await self.script(self.asks[-1], writer)
                await writer.drain()
        self._writers.discard(writer)
        writer.close()
