"""A TCP proxy that misbehaves when told to: cut, stall (half-open), delay, refuse, meddle with MQTT packets."""

import asyncio
from collections.abc import Awaitable, Callable

from tests.support.listener import Listener

PUBLISH, PUBACK = 3, 4


def packets(data: bytes) -> tuple[list[bytes], bytes]:
    """Whole MQTT packets at the beginning of `data`, and the rest (MQTT 5.0, 2.1)."""
    found = []
    while len(data) >= 2:
        length, at = 0, 1
        while at < len(data) and at < 5:
            length |= (data[at] & 0x7F) << 7 * (at - 1)
            at += 1
            if data[at - 1] < 0x80:
                break
        else:
            break
        if len(data) < at + length:
            break
        found.append(data[: at + length])
        data = data[at + length :]
    return found, data


class Proxy(Listener):
    """Listens on loopback and passes bytes to `127.0.0.1:target` and back. `async with Proxy(port) as proxy`."""

    def __init__(self, target: int, *, mqtt: bool = False, port: int = 0) -> None:
        """mqtt: pass on whole packets, so that `meddle` may be set at any time. port: to listen on, 0 for any."""
        super().__init__(port)
        self._target = target
        self._mqtt = mqtt
        self._flows = asyncio.Event()
        self._flows.set()
        self.delay_s = 0.0
        self.meddle: Callable[[bool, int, bytes], Awaitable[bytes]] | None = None
        """Called for each packet: whether it goes to the broker, its type, the packet; returns what is passed on."""
        self.refuse = False
        self.refused = 0
        """Connections that found it refusing."""

    @property
    def url(self) -> str:
        """The proxy as a broker's address."""
        return f"mqtt://127.0.0.1:{self.port}"

    def stall(self) -> None:
        """Let nothing through any more, on old and new connections, and tell nobody."""
        self._flows.clear()

    def flow(self) -> None:
        """End a stall."""
        self._flows.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            if self.refuse:
                self.refused += 1
            else:
                self.connections += 1
                await self._join(reader, writer)
        except OSError:
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers.add(far_writer)
        try:
            there = asyncio.create_task(self._pass(reader, far_writer, up=True))
            back = asyncio.create_task(self._pass(far_reader, writer, up=False))
            try:
                await asyncio.wait([there, back], return_when=asyncio.FIRST_COMPLETED)
            finally:
                there.cancel()
                back.cancel()
                await asyncio.gather(there, back, return_exceptions=True)
        finally:
            self._writers.discard(far_writer)
            far_writer.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, up: bool) -> None:
        rest = b""
        while chunk := await reader.read(65_536):
            await self._flows.wait()
            if self.delay_s:
                await asyncio.sleep(self.delay_s)
            found, rest = packets(rest + chunk) if self._mqtt else ([chunk], b"")
            for packet in found:
                changed = await self.meddle(up, packet[0] >> 4, packet) if self.meddle is not None else packet
                writer.write(changed)
                await writer.drain()
