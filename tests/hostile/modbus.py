"""Modbus devices that attack: on TCP, UDP and TLS ports, on an RTU converter's, and on serial lines of both kinds."""

import asyncio
import os
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

from pymodbus.framer.rtu import FramerRTU

from tests.support.modbus_bus import terminal
from tests.support.mosquitto import Authority

_BURST: Final = 16_384
"""Bytes that are written at a time, about what a stream reads at once."""


def _fill(piece: bytes) -> bytes:
    """Return the piece over and over, a burst long."""
    return piece * max(1, _BURST // len(piece))


def rtu_frame(adu: bytes) -> bytes:
    return adu + FramerRTU.compute_CRC(adu).to_bytes(2, "big")


def ascii_frame(adu: bytes) -> bytes:
    return b":" + adu.hex().upper().encode() + f"{-sum(adu) & 0xFF:02X}".encode() + b"\r\n"


_READ: Final = b"\x01\x03\x02\x00\x07"
_MBAP: Final = {
    "replies to nobody": _fill(struct.pack(">HHH", 0xABCD, 0, 5) + _READ),
    "replies of another unit": _fill(struct.pack(">HHHB", 1, 0, 5, 9) + _READ[1:]),
    "a header that claims 64 KiB": _fill(struct.pack(">HHH", 1, 0, 65_535)),
    "zeros": bytes(_BURST),
    "headers without a body": _fill(struct.pack(">HHH", 0xABCD, 0, 2) + b"\x01\x03"),
}
_RTU: Final = {
    "01 03 FF": _fill(b"\x01\x03\xff"),
    "its unit alone": b"\x01" * _BURST,
    "wrong checksums": _fill(b"\x01\x03\x02\x00\x07\xff\xff"),
    "exceptions without end": _fill(b"\x01\x83\x02"),
    "silence made of zeros": bytes(_BURST),
}
_ASCII: Final = {
    "colons": b":" * _BURST,
    "line ends": b"\r\n" * (_BURST // 2),
    "good lines of another unit": _fill(ascii_frame(b"\x02\x03\x02\x00\x07")),
    "letters that are no digits": _fill(b":0103zz\r\n"),
    "one long line": b":" + b"01" * (_BURST // 2) + b"\r\n",
}
_TLS: Final = {
    "no handshake": bytes(_BURST),
    "records of a handshake": b"\x16\x03\x03\x40\x00" + bytes(_BURST),
}
Reply = Callable[[bytes], bytes]


def _good_mbap(request: bytes) -> bytes:
    transaction, _, _, unit, function, _, count = struct.unpack(">HHHBBHH", request[:12])
    return struct.pack(">HHHBBB", transaction, 0, 3 + 2 * count, unit, function, 2 * count) + bytes(2 * count)


def _good_rtu(request: bytes) -> bytes:
    count = int.from_bytes(request[4:6])
    return rtu_frame(request[:2] + bytes((2 * count,)) + bytes(2 * count))


def _good_ascii(request: bytes) -> bytes:
    adu = bytes.fromhex(request[1:-2].decode())
    count = int.from_bytes(adu[4:6])
    return ascii_frame(adu[:2] + bytes((2 * count,)) + bytes(2 * count))


class ModbusPeer:
    """What all of them have in common: from the next request on a burst is sent again and again."""

    def __init__(self, folder: Path, burst: bytes, good: Reply) -> None:
        self.reached = threading.Event()
        self.url = ""
        self._folder = folder
        self._burst = burst
        self._good = good
        self._is_attacking = False

    async def attack(self, on: bool) -> None:
        """Send the burst for ever; off: answer again."""
        self._is_attacking = on

    def broker(self) -> str:
        """Return nothing: the broker is the real one."""
        return ""

    def device(self) -> str:
        """Return its device file."""
        return (
            f"protocol: modbus\nurl: {self.url}\ninterval: 250ms\ntimeout: 300ms\n"
            "tags:\n  - {name: t, address: 'holding:0'}\n"
        )


class StreamPeer(ModbusPeer):
    """On TCP: MBAP, or RTU as a converter passes it on."""

    def __init__(self, folder: Path, burst: bytes, good: Reply, scheme: str) -> None:
        super().__init__(folder, burst, good)
        self._scheme = scheme
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self, broker: int) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.url = f"{self._scheme}://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        """End every connection."""
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            await self._greet(writer)
            while request := await reader.read(4096):
                await self._flood(writer)
                writer.write(self._good(request))
        except OSError:
            pass
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

    async def _greet(self, writer: asyncio.StreamWriter) -> None:
        """Do what comes before the first request."""

    async def _flood(self, writer: asyncio.StreamWriter) -> None:
        while self._is_attacking:
            writer.write(self._burst)
            await writer.drain()
            self.reached.set()
            await asyncio.sleep(0)


class TlsPeer(StreamPeer):
    """On TLS. The attack comes in place of the handshake."""

    async def start(self, broker: int) -> None:
        """Listen."""
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._context.load_cert_chain(*Authority(self._folder).issue("127.0.0.1"))
        await super().start(broker)
        self.url += "?verify=0"

    async def attack(self, on: bool) -> None:
        """Let the gateway connect again."""
        await super().attack(on)
        for writer in self._writers:
            writer.transport.abort()

    async def _greet(self, writer: asyncio.StreamWriter) -> None:
        await self._flood(writer)
        await writer.start_tls(self._context)


class DatagramPeer(ModbusPeer, asyncio.DatagramProtocol):
    """On UDP. The system drops what the gateway does not read in time, so the flood is bounded by hand."""

    async def start(self, broker: int) -> None:
        """Listen."""
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=("127.0.0.1", 0))
        self.url = f"udp://127.0.0.1:{self._transport.get_extra_info('sockname')[1]}"
        self._flooding: asyncio.Task[None] | None = None

    async def stop(self) -> None:
        """End."""
        await self.attack(False)
        if self._flooding is not None:
            await self._flooding
        self._transport.close()

    def datagram_received(self, data: bytes, addr: object) -> None:
        """Answer, or begin the flood."""
        if not self._is_attacking:
            self._transport.sendto(self._good(data), addr)
        elif self._flooding is None or self._flooding.done():
            self._flooding = asyncio.create_task(self._flood(addr))

    async def _flood(self, addr: object) -> None:
        while self._is_attacking:
            for _ in range(8):
                self._transport.sendto(self._burst, addr)
            self.reached.set()
            await asyncio.sleep(0.001)


class SerialPeer(ModbusPeer):
    """On a pseudo-terminal, which takes as much as the gateway reads, more than any line."""

    def __init__(self, folder: Path, burst: bytes, good: Reply, scheme: str) -> None:
        super().__init__(folder, burst, good)
        self._scheme = scheme

    async def start(self, broker: int) -> None:
        """Plug in."""
        self._master, path = terminal()
        os.set_blocking(self._master, False)
        self.url = f"{self._scheme}://{path}?baudrate=115200&parity=N&bytesize=8"  # a pseudo-terminal has no parity
        asyncio.get_running_loop().add_reader(self._master, self._read)

    async def stop(self) -> None:
        """Pull out."""
        await self.attack(False)
        asyncio.get_running_loop().remove_reader(self._master)
        os.close(self._master)

    async def attack(self, on: bool) -> None:
        """Write whenever the line takes something."""
        await super().attack(on)
        asyncio.get_running_loop().remove_writer(self._master)

    def _read(self) -> None:
        request = os.read(self._master, 4096)
        if self._is_attacking:
            asyncio.get_running_loop().add_writer(self._master, self._write)
        else:
            os.write(self._master, self._good(request))

    def _write(self) -> None:
        os.write(self._master, self._burst)
        self.reached.set()


def _rows() -> Iterator[tuple[str, Callable[[Path], ModbusPeer]]]:
    for how, burst in _MBAP.items():
        yield f"tcp: {how}", partial(StreamPeer, burst=burst, good=_good_mbap, scheme="tcp")
    for how in ("replies to nobody", "zeros"):
        yield f"udp: {how}", partial(DatagramPeer, burst=_MBAP[how], good=_good_mbap)
    yield "udp: small datagrams", partial(DatagramPeer, burst=_MBAP["replies to nobody"][:11], good=_good_mbap)
    for how, burst in _TLS.items():
        yield f"tls: {how}", partial(TlsPeer, burst=burst, good=_good_mbap, scheme="tls")
    for how, burst in _RTU.items():
        yield f"rtu+tcp: {how}", partial(StreamPeer, burst=burst, good=_good_rtu, scheme="rtu+tcp")
    for how in ("01 03 FF", "wrong checksums"):
        yield f"rtu: {how}", partial(SerialPeer, burst=_RTU[how], good=_good_rtu, scheme="rtu")
    for how, burst in _ASCII.items():
        yield f"ascii: {how}", partial(SerialPeer, burst=burst, good=_good_ascii, scheme="ascii")


PEERS: Final = dict(_rows())
"""By what they do."""
