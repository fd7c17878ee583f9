"""OPC UA servers that attack: before a channel is open, in answers to reads, in notifications.

All of them stand before one real server, whose answers they change; so the session is a real one until then.
"""

import asyncio
import struct
import threading
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

from tests.support.network import free_port
from tests.support.opcua_mangler import Mangler
from tests.support.opcua_server import AsyncuaServer

_MARK: Final = 4711.25
_VALUE: Final = b"\x0b" + struct.pack("<d", _MARK)
"""The variant in whose place others are put."""
_DATA_CHANGE: Final = b"\x01\x00\x2b\x03\x01"
"""Id and encoding of a DataChangeNotification (i=811), before its length."""
_MANY: Final = 2**31 - 1
_BURST: Final = 65_536

Encoded = Callable[[str, bytes], bytes]
Instead = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def _array(kind: int, count: int, body: bytes = b"") -> bytes:
    """Return a variant with an array (OPC UA Part 6, 5.2.2.16)."""
    return bytes((0x80 | kind,)) + struct.pack("<i", count) + body


_VALUES: Final = {
    "an array of nulls that claims 2^31-1": _array(0, _MANY),
    "a matrix of nulls": bytes((0xC0,)) + struct.pack("<i", 0) + struct.pack("<iii", 2, 46_340, 46_340),
    "four million booleans": _array(1, 4_000_000, bytes(4_000_000)),
    "a million null extension objects": _array(22, 1_000_000, bytes(3_000_000)),
    "a million diagnostics": _array(25, 1_000_000, bytes(1_000_000)),
    "variants in variants": _array(24, 1) * 20_000 + b"\x00",
    "a text of 5 MiB, beyond the longest message": b"\x0c" + struct.pack("<i", 5 * 2**20) + bytes(5 * 2**20),
    "a shape of 100,000 dimensions": b"\xc6" + struct.pack("<iii", 1, 7, 100_000) + struct.pack("<i", 2) * 100_000,
    "diagnostics in diagnostics": b"\x19" + b"\x40" * 100_000 + b"\x00",
}


def _put_value(given: bytes, name: str, body: bytes) -> bytes:
    """Put another variant in place of the marked one."""
    if name == "ReadResponse":
        return body.replace(_VALUE, given, 1)
    at = body.find(_DATA_CHANGE)
    if name != "PublishResponse" or at < 0 or _VALUE not in body:
        return body
    length = struct.unpack_from("<i", body, at + 5)[0] + len(given) - len(_VALUE)
    body = body[: at + 5] + struct.pack("<i", length) + body[at + 9 :]
    return body.replace(_VALUE, given, 1)


def _put_string_table(name: str, body: bytes) -> bytes:
    """A table of a million null strings in the header of the answer, which holds none (Part 4, 7.33)."""
    at = 4 + 8 + 4 + 4 + 1
    return body[:at] + struct.pack("<i", 1_000_000) + b"\xff\xff\xff\xff" * 1_000_000 + body[at + 4 :]


def _put_header_diagnostics(name: str, body: bytes) -> bytes:
    """Diagnostics within diagnostics, in the header of the answer."""
    at = 4 + 8 + 4 + 4
    return body[:at] + b"\x40" * 200_000 + body[at:]


def _put_tail(tail: bytes, name: str, body: bytes) -> bytes:
    """Diagnostics after the results."""
    return body[:-4] + tail if name == "ReadResponse" else body


def _put_count(name: str, body: bytes) -> bytes:
    """2^31-1 results, of which there is one: what follows the header (4.4.1 of Part 6: a DataValue has at least a byte)."""
    return body[:28] + struct.pack("<i", _MANY) + body[32:] if name == "ReadResponse" else body


class OpcUaPeer:
    """One server; `mode` is how the gateway reads it."""

    def __init__(
        self, folder: Path, encoded: Encoded | None = None, instead: Instead | None = None, mode: str = "poll"
    ) -> None:
        self.reached = threading.Event()
        self._encoded = encoded
        self._instead = instead
        self._mode = mode

    async def start(self, broker: int) -> None:
        """Listen."""
        self._mangler = Mangler(await _Backend.enter())
        await self._mangler.__aenter__()

    async def stop(self) -> None:
        """End."""
        self._mangler.cut()
        await self._mangler.__aexit__()
        await _Backend.leave()

    async def attack(self, on: bool) -> None:
        """Change answers from now on; for what comes before them, let the gateway connect again."""
        self._mangler.encoded = self._change if on and self._encoded else lambda name, body: body
        self._mangler.instead = self._serve if on and self._instead else None
        if self._instead or not on:
            self._mangler.cut()
        if on and self._mode == "subscribe":
            await _Backend.change()

    def broker(self) -> str:
        """Return nothing: the broker is the real one."""
        return ""

    def device(self) -> str:
        """Return its device file."""
        return (
            f"protocol: opcua\nurl: {self._mangler.url}\nmode: {self._mode}\ninterval: 250ms\nsecurity: none\n"
            "tags:\n  - {name: t, node: 'ns=2;s=v0'}\n"
        )

    def _change(self, name: str, body: bytes) -> bytes:
        assert self._encoded is not None
        changed = self._encoded(name, body)
        if changed is not body:
            self.reached.set()
        return changed

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert self._instead is not None
        await reader.readexactly(8)
        self.reached.set()
        await self._instead(reader, writer)


class _Backend:
    """The real server behind all of them."""

    server: AsyncuaServer | None = None
    users = 0

    @classmethod
    async def enter(cls) -> int:
        """Return its port; the first to come starts it."""
        cls.users += 1
        if cls.server is None:
            cls.port = free_port()
            cls.server = AsyncuaServer(cls.port, 1)
            await cls.server.start()
            await cls.change()
        return cls.port

    @classmethod
    async def leave(cls) -> None:
        """The last to go ends it."""
        cls.users -= 1
        if not cls.users and cls.server is not None:
            server, cls.server = cls.server, None
            await server.stop()

    @classmethod
    async def change(cls) -> None:
        """Report the marked value anew, with a new time."""
        assert cls.server is not None
        await cls.server.write(0, _MARK + 1)
        await cls.server.write(0, _MARK)


_ACKNOWLEDGE: Final = b"ACKF" + struct.pack("<IIIIII", 28, 0, 65_535, 65_535, 0, 0)


async def _claim(kind: bytes, final: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A chunk whose header says 60 MiB, and which comes in pieces."""
    if kind != b"ACK":
        writer.write(_ACKNOWLEDGE)
    writer.write(kind + final + struct.pack("<I", 60 * 2**20))
    for _ in range(60 * 2**20 // _BURST):
        writer.write(bytes(_BURST))
        await writer.drain()
        await asyncio.sleep(0)


async def _chunk_for_ever(kind: bytes, size: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Parts of a message that never ends, before a channel is open."""
    writer.write(_ACKNOWLEDGE)
    head = struct.pack("<I", 1)
    if kind == b"OPN":
        policy = b"http://opcfoundation.org/UA/SecurityPolicy#None"
        head += struct.pack("<i", len(policy)) + policy + b"\xff\xff\xff\xff" * 2
    else:
        head += struct.pack("<I", 0)
    number = 0
    while True:
        number += 1
        body = head + struct.pack("<II", number, 1) + bytes(size)
        writer.write(kind + b"C" + struct.pack("<I", 8 + len(body)) + body)
        if number % 16 == 0:
            await writer.drain()
            await asyncio.sleep(0)


async def _babble(piece: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0)


async def _drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The acknowledgement byte by byte, and never whole."""
    writer.write(_ACKNOWLEDGE[:8])
    while True:
        writer.write(b"\0")
        await asyncio.sleep(0.01)


def _rows() -> Iterator[tuple[str, Callable[[Path], OpcUaPeer]]]:
    for what, given in _VALUES.items():
        yield f"read: {what}", partial(OpcUaPeer, encoded=partial(_put_value, given))
    for what in ("an array of nulls that claims 2^31-1", "variants in variants"):
        yield f"publish: {what}", partial(OpcUaPeer, encoded=partial(_put_value, _VALUES[what]), mode="subscribe")
    yield "read: a table of a million strings", partial(OpcUaPeer, encoded=_put_string_table)
    yield "read: diagnostics of the answer", partial(OpcUaPeer, encoded=_put_header_diagnostics)
    million = struct.pack("<i", 1_000_000) + bytes(1_000_000)
    yield "read: a million diagnostics beside", partial(OpcUaPeer, encoded=partial(_put_tail, million))
    yield "read: results that claim 2^31-1", partial(OpcUaPeer, encoded=_put_count)
    for kind in (b"ACK", b"OPN", b"MSG"):
        yield f"before: {kind.decode()} that claims 60 MiB", partial(OpcUaPeer, instead=partial(_claim, kind, b"F"))
    yield "before: chunks without end", partial(OpcUaPeer, instead=partial(_chunk_for_ever, b"OPN", 8192))
    yield "before: small chunks without end", partial(OpcUaPeer, instead=partial(_chunk_for_ever, b"MSG", 0))
    yield "before: zeros", partial(OpcUaPeer, instead=partial(_babble, bytes(_BURST)))
    yield "before: acknowledgements", partial(OpcUaPeer, instead=partial(_babble, _ACKNOWLEDGE * 1000))
    yield "before: one byte at a time", partial(OpcUaPeer, instead=_drip)


PEERS: Final = dict(_rows())
"""By what they do."""
