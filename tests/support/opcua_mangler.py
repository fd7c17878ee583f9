"""A proxy before an OPC UA server without security that changes, swallows and refuses what passes (Part 6, 6.7)."""

import asyncio
import itertools
import struct
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final

from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import nodeid_from_binary, struct_from_binary, struct_to_binary

from tests.support.listener import Listener

DROP: Final = -1
"""Returned by a hook: the message does not arrive."""
HANG_UP: Final = -2
"""Returned by a hook: the connection ends instead."""
_SUFFIX: Final = "_Encoding_DefaultBinary"
_KINDS: Final = {
    number: getattr(ua, name.removesuffix(_SUFFIX))
    for name, number in vars(ua.ObjectIds).items()
    if name.endswith((f"Request{_SUFFIX}", f"Response{_SUFFIX}")) and hasattr(ua, name.removesuffix(_SUFFIX))
}


def nothing(message: Any) -> int | None:
    """A hook that lets everything pass."""
    return None


class Mangler(Listener):
    """Listens on loopback before `127.0.0.1:target`. `async with Mangler(port) as mangler`.

    request, response: called with each decoded message, which they may change in place. None lets it pass, `DROP` swallows
    it, `HANG_UP` resets the connection, any other number is the status of a fault in its place. opened: called for each
    answer to the request for a channel. acknowledge: called with the server's Acknowledge. chunk_bytes: the longest body of
    a chunk that the server sends. flood: the next response is never finished. longest: request so far, in bytes. encoded:
    given the name and the bytes of each response, returns what is sent. instead: serves a connection in place of the server.
    """

    def __init__(self, target: int) -> None:
        super().__init__()
        self._target = target
        self.request: Callable[[Any], int | None] = nothing
        self.response: Callable[[Any], int | None] = nothing
        self.opened: Callable[[Any], int | None] = nothing
        self.acknowledge: Callable[[Any], int | None] = nothing
        self.encoded: Callable[[str, bytes], bytes] = lambda name, body: body
        self.instead: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]] | None = None
        self.chunk_bytes = 60_000
        self.flood = False
        self.longest = 0
        self.seen: list[str] = []
        self.bugs: list[Exception] = []

    @property
    def url(self) -> str:
        """The mangler as a server's endpoint."""
        return f"opc.tcp://127.0.0.1:{self.port}"

    async def __aexit__(self, *_: object) -> None:
        await super().__aexit__()
        assert not self.bugs, self.bugs

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if self.instead is not None:
            self._writers.add(writer)
            await self.instead(reader, writer)
            return
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers |= {writer, far_writer}
        down = _Way(self, writer)
        up = _Way(self, far_writer, back=down)
        ways = [asyncio.create_task(way.carry(end)) for way, end in ((up, reader), (down, far_reader))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            ends = await asyncio.gather(*ways, return_exceptions=True)
            self.bugs += [end for end in ends if isinstance(end, Exception) and not isinstance(end, OSError | EOFError)]
            for one in (writer, far_writer):
                self._writers.discard(one)
                one.transport.abort()


class _Way:
    """One direction of one connection: whole messages in, chunks with numbers of their own out."""

    def __init__(self, mangler: Mangler, writer: asyncio.StreamWriter, back: "_Way | None" = None) -> None:
        self._mangler = mangler
        self._writer = writer
        self._back = back
        self._numbers: Iterator[int] = itertools.count(1)
        self._parts = b""

    async def carry(self, reader: asyncio.StreamReader) -> None:
        while True:
            head = await reader.readexactly(8)
            frame = head + await reader.readexactly(struct.unpack("<I", head[4:])[0] - 8)
            kind = head[:3]
            if kind == b"ACK":
                frame = self._acknowledged(frame)
            if kind in (b"HEL", b"ACK", b"ERR"):
                self._writer.write(frame)
                continue
            place = 16 if kind != b"OPN" else _after_asymmetric(frame)
            request = struct.unpack_from("<I", frame, place + 4)[0]
            self._parts += frame[place + 8 :]
            if head[3:4] == b"C":
                continue
            body, self._parts = self._parts, b""
            await self._pass(kind, frame[8:place], request, body)

    def _acknowledged(self, frame: bytes) -> bytes:
        told = struct_from_binary(ua.Acknowledge, Buffer(frame[8:]))
        self._mangler.acknowledge(told)
        body = struct_to_binary(told)
        return frame[:4] + struct.pack("<I", 8 + len(body)) + body

    async def _pass(self, kind: bytes, security: bytes, request: int, body: bytes) -> None:
        mangler = self._mangler
        known = _KINDS.get(nodeid_from_binary(Buffer(body)).Identifier)
        if known is not None:
            message = struct_from_binary(known, Buffer(body))
            name = type(message).__name__
            mangler.seen.append(name)
            hook = mangler.opened if name == "OpenSecureChannelResponse" else mangler.response
            verdict = (mangler.request if self._back is not None else hook)(message)
            if verdict == DROP:
                return
            if verdict == HANG_UP:
                raise EOFError
            if verdict is not None:
                fault = ua.ServiceFault()
                header = message.RequestHeader if self._back is not None else message.ResponseHeader
                fault.ResponseHeader.RequestHandle = header.RequestHandle
                fault.ResponseHeader.ServiceResult = ua.StatusCode(ua.UInt32(verdict))
                await (self._back or self).send(kind, security, request, struct_to_binary(fault))
                return
            body = struct_to_binary(message)
            body = body if self._back is not None else mangler.encoded(name, body)
        if self._back is not None:
            mangler.longest = max(mangler.longest, len(body))
        await self.send(kind, security, request, body)

    async def send(self, kind: bytes, security: bytes, request: int, body: bytes) -> None:
        down = self._back is None and kind == b"MSG"
        size = self._mangler.chunk_bytes if down else len(body)
        while self._mangler.flood and down:
            self._chunk(kind, b"C", security, request, bytes(size))
            await self._writer.drain()
        for at in range(0, len(body), size):
            last = at + size >= len(body)
            self._chunk(kind, b"F" if last else b"C", security, request, body[at : at + size])
        await self._writer.drain()

    def _chunk(self, kind: bytes, final: bytes, security: bytes, request: int, part: bytes) -> None:
        frame = security + struct.pack("<II", next(self._numbers), request) + part
        self._writer.write(kind + final + struct.pack("<I", 8 + len(frame)) + frame)


def _after_asymmetric(frame: bytes) -> int:
    """Where the sequence header of an OpenSecureChannel message begins."""
    place = 12
    for _ in range(3):
        place += 4 + max(0, struct.unpack_from("<i", frame, place)[0])
    return place
