"""Modbus TCP over pymodbus: the only file of this folder that knows the library.

pymodbus frames, numbers and matches requests and replies. Its reconnecting, retrying and register lists are not used.
Checked against 3.16: a reply with another transaction id or unit is skipped; a reply without a waiting request is thrown
away; a lost connection does not end a waiting request, which `_on_connection` does here.
"""

import asyncio
import logging

from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ConnectionException, ModbusException
from pymodbus.pdu import ExceptionResponse, ModbusPDU
from pymodbus.pdu.bit_message import ReadCoilsRequest, ReadDiscreteInputsRequest
from pymodbus.pdu.register_message import ReadHoldingRegistersRequest, ReadInputRegistersRequest

from gateway.core.errors import NotConnected
from gateway.sources.modbus.config import Table
from gateway.sources.modbus.link import BadReply, ExceptionReply, NoReply

_NEVER_S = 86_400.0

logging.getLogger("pymodbus.logging").setLevel(logging.CRITICAL)  # its errors reach us as exceptions


class _RawReply(ModbusPDU):
    """A reply that keeps its bytes: no list of registers is built."""

    payload = b""

    def decode(self, data: bytes) -> None:
        self.payload = data

    def __str__(self) -> str:  # pymodbus formats every PDU for a debug log that nobody reads
        return type(self).__name__


class _RawCoils(_RawReply):
    function_code = 1


class _RawDiscreteInputs(_RawReply):
    function_code = 2


class _RawHoldingRegisters(_RawReply):
    function_code = 3


class _RawInputRegisters(_RawReply):
    function_code = 4


_PDUS: dict[Table, tuple[type[ModbusPDU], type[_RawReply]]] = {
    "coil": (ReadCoilsRequest, _RawCoils),
    "discrete": (ReadDiscreteInputsRequest, _RawDiscreteInputs),
    "holding": (ReadHoldingRegistersRequest, _RawHoldingRegisters),
    "input": (ReadInputRegistersRequest, _RawInputRegisters),
}


class TcpLink:
    """One Modbus TCP connection (MODBUS Messaging on TCP/IP 1.0b). See `link.Link` for the contract."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._client: AsyncModbusTcpClient | None = None
        self._waiting = False

    @property
    def connected(self) -> bool:
        return self._client is not None and self._client.connected

    async def open(self, timeout_s: float) -> None:
        """Connect afresh. Raises NotConnected with the reason."""
        self.close()
        client = self._client = AsyncModbusTcpClient(
            self._host, port=self._port, reconnect_delay=0, retries=0, timeout=_NEVER_S, trace_connect=self._on_connection
        )
        for _, reply in _PDUS.values():
            client.register(reply)
        try:
            async with asyncio.timeout(timeout_s):
                await client.ctx.call_create()  # client.connect() would log the reason and return False
        except TimeoutError:
            self.close()
            raise NotConnected(f"{self._host}:{self._port} did not accept a connection within {timeout_s:g} s") from None
        except OSError as error:
            self.close()
            raise NotConnected(f"{self._host}:{self._port}: {error.strerror or error}") from error

    async def read(self, unit: int, table: Table, start: int, count: int, timeout_s: float) -> bytes:
        """Send one read and return the payload of its reply. Raises ExceptionReply, NoReply, BadReply, NotConnected."""
        request_type, reply_type = _PDUS[table]
        reply = await self._execute(request_type(dev_id=unit, address=start, count=count), timeout_s)
        if isinstance(reply, ExceptionResponse):
            if reply.function_code != request_type.function_code | 0x80:
                raise BadReply(f"an exception to function {reply.function_code & 0x7F} is not the reply to this request")
            raise ExceptionReply(reply.exception_code)
        if not isinstance(reply, reply_type):
            raise BadReply(f"function {reply.function_code} is not the reply to this request")
        expected = 2 * count if table in ("holding", "input") else (count + 7) // 8
        if len(reply.payload) != expected + 1 or reply.payload[0] != expected:
            raise BadReply(f"{len(reply.payload) - 1} bytes of values, expected {expected}")
        return reply.payload[1:]

    async def _execute(self, request: ModbusPDU, timeout_s: float) -> ModbusPDU:
        client, task = self._client, asyncio.current_task()
        if client is None or task is None:
            raise NotConnected("not open")
        cancels = task.cancelling()
        self._waiting = True
        try:
            async with asyncio.timeout(timeout_s):
                reply: ModbusPDU = await client.execute(False, request)
        except TimeoutError:
            raise NoReply(f"no reply within {timeout_s:g} s") from None
        except ConnectionException as error:
            raise NotConnected(f"{self._host}:{self._port}: {error.string}") from error
        except ModbusException as error:
            raise BadReply(str(error)) from error
        finally:
            self._waiting = False
        if task.cancelling() > cancels:  # asyncio.wait_for before 3.12 loses a cancel that comes together with the reply
            raise asyncio.CancelledError
        if reply.transaction_id != request.transaction_id:  # pymodbus lets a reply numbered 0 pass
            raise BadReply(f"transaction id {reply.transaction_id}, expected {request.transaction_id}")
        return reply

    def close(self) -> None:
        """Let go of the socket. Never raises."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _on_connection(self, connected: bool) -> None:
        if not connected and self._waiting and self._client is not None:
            future = self._client.ctx.response_future
            if not future.done():
                future.set_exception(ConnectionException("the connection was lost"))
