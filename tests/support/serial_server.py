"""A transparent serial server: what any client sends goes to the line in turn, what the line gives goes to every client."""

import asyncio
import struct
from collections.abc import Callable

from tests.unit.sources.modbus.test_framing import crc

Device = Callable[[int, int, int, int], bytes]
"""(unit, function, start, count) -> the PDU of the answer, empty for silence."""


class SerialServer:
    """`async with SerialServer(port, device)`. latency_s: how long the line takes for a request and its reply."""

    def __init__(self, port: int, device: Device, latency_s: float = 0.02) -> None:
        self._port, self._device, self._latency_s = port, device, latency_s
        self._clients: set[asyncio.StreamWriter] = set()
        self._requests: asyncio.Queue[bytes] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> "SerialServer":
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self._port)
        self._tasks.add(asyncio.create_task(self._line()))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._clients:
            writer.transport.abort()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients.add(writer)
        self._tasks.add(asyncio.create_task(self._client(reader, writer)))

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while request := await reader.read(8):
            self._requests.put_nowait(request)
        self._clients.discard(writer)

    async def _line(self) -> None:
        while True:
            request = await self._requests.get()
            await asyncio.sleep(self._latency_s)
            unit, function, start, count = struct.unpack(">BBHH", request[:6])
            if pdu := self._device(unit, function, start, count):
                frame = bytes((unit,)) + pdu
                for writer in self._clients:
                    writer.write(frame + crc(frame))


async def poll_as_another_master(port: int, unit: int, start: int, count: int, interval_s: float) -> None:
    """Poll through the same server until cancelled, from one connection, not listening to the replies of others."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    request = struct.pack(">BBHH", unit, 3, start, count)
    while True:
        writer.write(request + crc(request))
        await asyncio.sleep(interval_s)
        await reader.read(4096)
