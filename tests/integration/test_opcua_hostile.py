"""Servers that answer what no server should: the source says NotConnected, or goes on; it never ends the process."""

import asyncio
import math
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from asyncua import ua
from asyncua.server import uaprocessor
from asyncua.ua.ua_binary import struct_to_binary

from gateway.core.errors import NotConnected
from gateway.sources.opcua.source.source import OpcUaSource
from tests.support.opcua_reader import Reader, make_source, reading
from tests.support.opcua_server import AsyncuaServer

NODES = [f"ns=2;s=v{i}" for i in range(3)]


def change(kind: str, path: str, value: object) -> Callable[[Any], None]:
    """Sets an attribute of every response of a kind."""

    def apply(response: Any) -> None:
        if type(response).__name__ == kind:
            *parents, last = path.split(".")
            for name in parents:
                response = getattr(response, name)
            setattr(response, last, value)

    return apply


@pytest.fixture
def tamper(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Any], None]], None]:
    """Lets a test change what asyncua's server sends, just before it is encoded."""

    def install(apply: Callable[[Any], None]) -> None:
        send = uaprocessor.UaProcessor.send_response

        def changed(self: Any, handle: Any, header: Any, response: Any, *rest: Any, **named: Any) -> Any:
            apply(response)
            return send(self, handle, header, response, *rest, **named)

        monkeypatch.setattr(uaprocessor.UaProcessor, "send_response", changed)

    return install


LOST = {
    "no results of a read": ("poll", change("ReadResponse", "Results", None)),
    "fewer results than nodes": ("poll", change("ReadResponse", "Results", [])),
    "no results of items": ("subscribe", change("CreateMonitoredItemsResponse", "Results", None)),
}


@pytest.mark.parametrize("what", LOST)
async def test_an_answer_that_makes_no_sense_is_a_lost_connection(port: int, tamper: Any, what: str) -> None:
    mode, apply = LOST[what]
    async with AsyncuaServer(port) as server:
        tamper(apply)
        source = make_source(server.url, NODES, mode=mode)
        with pytest.raises(NotConnected):
            await read_until_lost(source)


async def read_until_lost(source: OpcUaSource) -> None:
    try:
        async with asyncio.timeout(20):
            await source.open()
            reader = Reader(source)
            while True:
                await reader.once()
    finally:
        await source.close()


@pytest.mark.parametrize("interval_ms", [0.0, -1.0])
async def test_a_publishing_interval_of_nonsense_is_not_believed(port: int, tamper: Any, interval_ms: float) -> None:
    """Keep-alives are expected at the interval that was asked for; the values come, nothing spins."""
    async with AsyncuaServer(port) as server:
        tamper(change("CreateSubscriptionResponse", "Parameters.RevisedPublishingInterval", interval_ms))
        async with reading(server.url, NODES) as reader:
            await reader.until(lambda: reader.seen(3))
            await server.write(0, 7.0)
            await reader.until(lambda: reader.values[0][-1] == 7.0)


@pytest.mark.parametrize("interval_ms", [math.nan, math.inf])
async def test_a_server_that_believes_its_own_nonsense_counts_as_silent(port: int, tamper: Any, interval_ms: float) -> None:
    """asyncua's server waits as long as its answer said, for ever: `inf`, since server and client share a loop here, and a
    timer for NaN breaks the order of all the loop's timers (it may fire at once, others late)."""

    def believe(response: Any) -> None:
        if isinstance(response, ua.CreateSubscriptionResponse):
            own = response.Parameters
            response.Parameters = replace(own, RevisedPublishingInterval=interval_ms)
            own.RevisedPublishingInterval = math.inf

    async with AsyncuaServer(port) as server:
        tamper(believe)
        with pytest.raises(NotConnected, match="silent"):
            await read_until_lost(make_source(server.url, NODES))


async def test_an_event_of_nobody_is_a_lost_connection(port: int, tamper: Any) -> None:
    def misaddress(response: Any) -> None:
        if isinstance(response, ua.PublishResponse):
            for data in response.Parameters.NotificationMessage.NotificationData:
                for event in getattr(data, "Events", ()):
                    event.ClientHandle = 99

    async with AsyncuaServer(port) as server:
        tamper(misaddress)
        source = make_source(server.url, NODES, events=[{}])
        with pytest.raises(NotConnected, match="an event for a client handle that it was never given"):
            await read_until_lost(source)


@asynccontextmanager
async def refusing_server(status: int) -> AsyncIterator[str]:
    """Greets, and answers the request for a secure channel with a ServiceFault (Part 6, 7.1; Part 4, 7.35)."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readexactly(8)
            body = await reader.readexactly(struct.unpack("<I", head[4:])[0] - 8)
            if head[:3] == b"HEL":
                answer = struct.pack("<IIIII", 0, 65535, 65535, 0, 0)
                writer.write(b"ACKF" + struct.pack("<I", 8 + len(answer)) + answer)
            else:
                security = 8 + struct.unpack("<i", body[4:8])[0] + 8
                fault = ua.ServiceFault()
                fault.ResponseHeader.ServiceResult = ua.StatusCode(status)
                answer = struct.pack("<I", 7) + body[4 : security + 8] + struct_to_binary(fault)
                writer.write(b"OPNF" + struct.pack("<I", 8 + len(answer)) + answer)

    conversations: set[asyncio.Task[None]] = set()
    writers: list[asyncio.StreamWriter] = []

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        conversations.add(asyncio.create_task(serve(reader, writer)))
        writers.append(writer)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield f"opc.tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()
        await asyncio.gather(*conversations, return_exceptions=True)


async def test_a_server_that_refuses_the_channel_is_not_connected() -> None:
    """BadSecurityPolicyRejected, for instance of a server without security for those who ask what it offers: what it says is
    a reason for the supervisor, which tries again."""
    async with refusing_server(0x80550000) as url:
        source = make_source(url, NODES)
        with pytest.raises(NotConnected, match="refuses: BadSecurityPolicyRejected: the server does not take this policy"):
            await source.open()
        await source.close()
