"""The real link against a server that misbehaves on demand."""

import asyncio
import struct
import termios
import time
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from gateway.core.errors import NotConnected
from gateway.sources.modbus import transport
from gateway.sources.modbus.client import ModbusLink
from gateway.sources.modbus.endpoint import parse
from gateway.sources.modbus.link import BadReply, ExceptionReply, NoReply
from gateway.sources.modbus.types import Table
from tests.support.modbus_server import Ask, ScriptedServer, silent

BOTH_LOOPS = True


@pytest.fixture
async def server(port: int) -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer(port) as running:
        yield running


@pytest.fixture
async def link(server: ScriptedServer) -> AsyncIterator[ModbusLink]:
    connection = tcp(server.port)
    await connection.open(2.0)
    yield connection
    connection.close()


def tcp(port: int) -> ModbusLink:
    return ModbusLink(parse(f"tcp://127.0.0.1:{port}"))


def registers(payload: bytes) -> list[int]:
    return list(struct.unpack(f">{len(payload) // 2}H", payload))


@pytest.mark.parametrize(
    ("table", "function", "payload"),
    [("holding", 3, b"\0\3\0\4"), ("input", 4, b"\0\3\0\4"), ("coil", 1, b"\1"), ("discrete", 2, b"\1")],
)
async def test_each_table_has_its_function(
    server: ScriptedServer, link: ModbusLink, table: Table, function: int, payload: bytes
) -> None:
    assert await link.read(17, table, 3, 2, 2.0) == payload
    ask = server.asks[0]
    assert (ask.unit, ask.function, ask.start, ask.count) == (17, function, 3, 2)


async def test_the_largest_reads(link: ModbusLink) -> None:
    assert registers(await link.read(1, "holding", 65411, 125, 2.0)) == list(range(65411, 65536))
    assert await link.read(1, "coil", 0, 2000, 2.0) == b"\xaa" * 250


async def test_an_exception_reply_carries_its_code_and_keeps_the_connection(
    server: ScriptedServer, link: ModbusLink
) -> None:
    async def refuse(ask: Ask, writer: asyncio.StreamWriter) -> None:
        writer.write(ask.exception(2) if ask.start else ask.good())

    server.script = refuse
    with pytest.raises(ExceptionReply, match="exception 2, illegal data address") as caught:
        await link.read(1, "holding", 9, 1, 2.0)
    assert caught.value.code == 2
    assert registers(await link.read(1, "holding", 0, 1, 2.0)) == [0]


async def test_a_frame_in_single_bytes_is_one_reply(server: ScriptedServer, link: ModbusLink) -> None:
    async def drip(ask: Ask, writer: asyncio.StreamWriter) -> None:
        for byte in ask.good():
            writer.write(bytes((byte,)))
            await asyncio.sleep(0.001)

    server.script = drip
    assert registers(await link.read(1, "holding", 5, 3, 2.0)) == [5, 6, 7]


async def test_a_late_reply_never_lands_on_another_request(server: ScriptedServer, link: ModbusLink) -> None:
    async def one_behind(ask: Ask, writer: asyncio.StreamWriter) -> None:
        if len(server.asks) > 1:
            writer.write(server.asks[-2].good() + ask.good())

    server.script = one_behind
    with pytest.raises(NoReply, match=r"no reply within 0\.1 s"):
        await link.read(1, "holding", 100, 2, 0.1)
    for start in (200, 300, 400):
        assert registers(await link.read(1, "holding", start, 2, 2.0)) == [start, start + 1]


async def test_a_late_reply_cut_by_the_next_request_never_lands_on_it(server: ScriptedServer, link: ModbusLink) -> None:
    async def torn(ask: Ask, writer: asyncio.StreamWriter) -> None:
        match len(server.asks):
            case 1:
                writer.write(ask.good()[:10])
            case 2:
                writer.write(server.asks[0].good()[10:])
                await writer.drain()
                await asyncio.sleep(0.02)
                writer.write(ask.good())
            case _:
                writer.write(ask.good())

    server.script = torn
    with pytest.raises(NoReply):
        await link.read(1, "holding", 100, 4, 0.1)
    with suppress(NoReply, BadReply):
        assert registers(await link.read(1, "holding", 200, 4, 0.3)) == [200, 201, 202, 203]
    assert registers(await link.read(1, "holding", 300, 4, 2.0)) == [300, 301, 302, 303]


WRONG = {
    "unit": lambda ask: ask.frame(ask.pdu(), unit=ask.unit + 1),
    "transaction": lambda ask: ask.frame(ask.pdu(), transaction=ask.transaction + 1),
    "transaction 0": lambda ask: ask.frame(ask.pdu(), transaction=0),
    "function": lambda ask: ask.frame(b"\4" + ask.pdu()[1:]),
    "exception of another function": lambda ask: ask.frame(b"\x84\2"),
    "too few registers": lambda ask: ask.frame(b"\3\2\0\0"),
    "too many registers": lambda ask: ask.frame(b"\3\6" + bytes(6)),
    "byte count": lambda ask: ask.frame(b"\3\6" + bytes(4)),
    "no payload": lambda ask: ask.frame(b"\3"),
    "exception without code": lambda ask: ask.frame(b"\x83"),
    "unknown function": lambda ask: ask.frame(b"\x50\1\2"),
    "protocol": lambda ask: ask.good()[:2] + b"\7\7" + ask.good()[4:],
    "garbage": lambda ask: bytes(range(256)) * 3,
}


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("what", WRONG)
async def test_a_wrong_reply_is_an_error_and_never_a_value(server: ScriptedServer, link: ModbusLink, what: str) -> None:
    async def wrong(ask: Ask, writer: asyncio.StreamWriter) -> None:
        writer.write(WRONG[what](ask))

    asyncio.get_running_loop().set_exception_handler(lambda *_: None)  # asyncio reports what pymodbus could not parse
    server.script = wrong
    with pytest.raises((BadReply, NoReply, NotConnected)):
        await link.read(1, "holding", 0, 2, 0.2)


async def test_a_connection_lost_while_waiting_is_told_at_once(server: ScriptedServer, link: ModbusLink) -> None:
    async def hang_up(ask: Ask, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server.script = hang_up
    began = time.monotonic()
    with pytest.raises(NotConnected, match="the connection was lost"):
        await link.read(1, "holding", 0, 1, 30.0)
    assert time.monotonic() - began < 5
    assert not link.connected
    with pytest.raises(NotConnected):
        await link.read(1, "holding", 0, 1, 30.0)
    server.script = ScriptedServer(0).script
    await link.open(2.0)
    assert registers(await link.read(1, "holding", 8, 1, 2.0)) == [8]


async def test_cancelling_a_read_on_a_silent_device_returns_at_once(server: ScriptedServer, link: ModbusLink) -> None:
    server.script = silent
    task = asyncio.create_task(link.read(1, "holding", 0, 1, 3600.0))
    await asyncio.wait_for(server.asked.wait(), 5)
    began = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.monotonic() - began < 0.5


async def test_a_cancel_that_meets_the_reply_is_not_lost(server: ScriptedServer, link: ModbusLink) -> None:
    server.script = silent
    task = asyncio.create_task(link.read(1, "holding", 0, 1, 3600.0))
    await asyncio.wait_for(server.asked.wait(), 5)
    assert link._receiver is not None
    link._receiver.data_received(server.asks[0].good())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_nobody_listening_is_told_with_the_reason(port: int) -> None:
    link = tcp(port)
    with pytest.raises(NotConnected, match=r"Connect call failed|refused"):
        await link.open(2.0)
    assert not link.connected
    link.close()
    link.close()


async def test_an_unknown_host_is_not_connected() -> None:
    with pytest.raises(NotConnected):
        await ModbusLink(parse("tcp://no-such-host.invalid")).open(5.0)


async def test_a_port_that_refuses_its_settings_is_told_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """termios.error is no OSError."""

    async def refuse(*_: object) -> None:
        raise termios.error(22, "Invalid argument")

    monkeypatch.setattr(transport, "create_serial_connection", refuse)
    text = "/dev/ttyS9 does not take 4800 baud, 8 bits, parity E, 1 stop bits: Invalid argument"
    with pytest.raises(NotConnected, match=text):
        await ModbusLink(parse("rtu:///dev/ttyS9?baudrate=4800")).open(1)
