"""The real link: one connection over TCP, UDP, TLS or a serial line. Frames are `framing.py`'s."""

import asyncio
import ssl
import struct
import termios
from typing import Any, Final

from pymodbus.transport.serialtransport import create_serial_connection

from gateway.core.errors import NotConnected
from gateway.sources.modbus.endpoint import Endpoint
from gateway.sources.modbus.framing import Ascii, Framing, Mbap, OutOfStepError, Rtu, Wanted
from gateway.sources.modbus.link import BadReply, ExceptionReply, NoReply
from gateway.sources.modbus.types import Table, is_bits

_FUNCTIONS: Final[dict[Table, int]] = {"coil": 1, "discrete": 2, "holding": 3, "input": 4}
_FRAMINGS: Final[dict[str, type[Mbap | Rtu | Ascii]]] = {
    "tcp": Mbap, "udp": Mbap, "tls": Mbap, "rtu+tcp": Rtu, "rtu": Rtu, "ascii": Ascii,
}  # fmt: skip
_SILENCE_S: Final = 0.02
_LONGEST_DRAIN_S: Final = 1.0


class ModbusLink:
    """One connection (MODBUS Messaging on TCP/IP 1.0b; MODBUS over Serial Line 1.02). See `link.Link` for the contract.

    On a bus requests keep a distance from each other, a longer one when the unit changes; after a reply that did not come,
    came damaged or is no longer wanted, the line is listened to until it is silent. With transaction ids (tcp, tls, udp)
    several requests may wait at the same time.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._name = endpoint.path or f"{endpoint.host}:{endpoint.port}"
        self._framing: Framing = _FRAMINGS[endpoint.scheme]()
        self._transport: Any = None
        self._conversation: _Conversation | None = None
        self._transaction = 0
        self._last_unit = -1
        self._dirty = False

    @property
    def connected(self) -> bool:
        return self._conversation is not None and not self._conversation.lost

    async def open(self, timeout_s: float) -> None:
        """Connect afresh. Raises NotConnected with the reason."""
        self.close()
        try:
            async with asyncio.timeout(timeout_s):
                self._transport, self._conversation = await self._dial()
        except TimeoutError:
            raise NotConnected(f"{self._name} did not accept a connection within {timeout_s:g} s") from None
        except OSError as error:
            raise NotConnected(f"{self._name}: {error.strerror or error}") from error
        except (termios.error, ValueError) as error:  # what the port's driver says of its settings is no OSError
            to = self._endpoint
            line = f"{to.baudrate} baud, {to.bytesize} bits, parity {to.parity}, {to.stopbits} stop bits"
            raise NotConnected(f"{to.path} does not take {line}: {error.args[-1]}") from error
        self._last_unit, self._dirty = -1, False

    async def _dial(self) -> tuple[Any, "_Conversation"]:
        loop, to = asyncio.get_running_loop(), self._endpoint
        if to.is_serial:
            pair = await create_serial_connection(
                loop, self._converse, to.path, to.baudrate, to.bytesize, to.parity, to.stopbits, 0
            )
            await asyncio.sleep(0)  # the transport sets itself up in a callback, which a close before it would break
            return pair  # type: ignore[return-value]
        if to.scheme == "udp":
            return await loop.create_datagram_endpoint(self._converse, remote_addr=(to.host, to.port))
        if to.scheme == "tls":
            name = to.options.get("server_name", to.host)
            return await loop.create_connection(self._converse, to.host, to.port, ssl=_tls(to), server_hostname=name)
        return await loop.create_connection(self._converse, to.host, to.port)

    def _converse(self) -> "_Conversation":
        return _Conversation(self._framing, self._name)

    async def read(self, unit: int, table: Table, start: int, count: int, timeout_s: float) -> bytes:
        """Send one read and return the payload of its reply. Raises ExceptionReply, NoReply, BadReply, NotConnected."""
        function = _FUNCTIONS[table]
        size = (count + 7) // 8 if is_bits(table) else 2 * count
        pdu = await self._ask(unit, function, struct.pack(">BHH", function, start, count), size, timeout_s)
        if pdu[0] == function | 0x80 and len(pdu) == 2:
            raise ExceptionReply(pdu[1])
        if pdu[0] != function:
            self._dirty = True
            raise BadReply(f"function {pdu[0]} is not the reply to function {function}")
        if len(pdu) != size + 2 or pdu[1] != size:
            self._dirty = True
            raise BadReply(f"{len(pdu) - 2} bytes of values, expected {size}")
        return pdu[2:]

    async def _ask(self, unit: int, function: int, pdu: bytes, size: int, timeout_s: float) -> bytes:
        conversation = self._conversation
        if conversation is None or conversation.lost:
            raise NotConnected(conversation.lost if conversation else "not open")
        if self._endpoint.is_bus:
            await self._wait_for_turn(conversation, unit)
        self._transaction = self._transaction % 0xFFFF + 1
        wanted = Wanted(self._transaction, unit, function)
        frame = self._framing.encode(wanted, pdu)
        loop = asyncio.get_running_loop()
        if self._endpoint.is_serial:  # what the line needs for request and reply is not the unit's fault
            timeout_s += (
                (len(frame) + size + 5) * self._endpoint.character_s * (2 if self._endpoint.scheme == "ascii" else 1)
            )
        future = conversation.expect(wanted, frame if self._endpoint.echo else b"")
        expiry = loop.call_later(timeout_s, _expire, future, timeout_s)
        try:
            if self._endpoint.scheme == "udp":
                self._transport.sendto(frame)
            else:
                self._transport.write(frame)
            return await future
        except (NoReply, asyncio.CancelledError):
            self._dirty = True
            raise
        finally:
            expiry.cancel()
            conversation.forget(wanted)

    async def _wait_for_turn(self, conversation: "_Conversation", unit: int) -> None:
        """Keep the distance to what was last heard; after a failure listen until the line is silent."""
        loop, to = asyncio.get_running_loop(), self._endpoint
        pause_s = to.unit_pause_s if unit != self._last_unit and self._last_unit >= 0 else to.turnaround_s
        if self._dirty:
            pause_s = max(pause_s, to.turnaround_s, _SILENCE_S)
        give_up = loop.time() + _LONGEST_DRAIN_S
        wait_s = conversation.heard_at + pause_s - loop.time()
        while wait_s > 0 and loop.time() < give_up:
            await asyncio.sleep(wait_s)
            wait_s = conversation.heard_at + pause_s - loop.time()
        if conversation.lost:
            raise NotConnected(conversation.lost)
        conversation.drop_input()
        self._last_unit, self._dirty = unit, False

    def close(self) -> None:
        """Let go of the connection. Never raises."""
        transport, self._transport = self._transport, None
        conversation, self._conversation = self._conversation, None
        if conversation is not None:
            conversation.fail("closed")
        if transport is not None:
            transport.abort()


def _expire(future: "asyncio.Future[bytes]", timeout_s: float) -> None:
    if not future.done():
        future.set_exception(NoReply(f"no reply within {timeout_s:g} s"))


def _tls(endpoint: Endpoint) -> ssl.SSLContext:
    """MODBUS/TCP Security v36: TLS 1.2 or newer, the client may show a certificate. Raises OSError."""
    options = endpoint.options
    context = ssl.create_default_context(cafile=options.get("ca"))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if options.get("verify") == "0":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if "cert" in options:
        context.load_cert_chain(options["cert"], options["key"])
    return context


class _Conversation(asyncio.Protocol, asyncio.DatagramProtocol):
    """What comes in on one connection, and who waits for it. lost: why the connection is gone, empty while it is there.
    heard_at: when something was last sent or came in, by the loop's clock."""

    def __init__(self, framing: Framing, name: str) -> None:
        self._framing = framing
        self._name = name
        self._buffer = bytearray()
        self._waiting: dict[int, Wanted] = {}
        self._futures: dict[int, asyncio.Future[bytes]] = {}
        self._echo = b""
        self._loop = asyncio.get_running_loop()
        self.heard_at = self._loop.time()
        self.lost = ""

    def expect(self, wanted: Wanted, echo: bytes) -> "asyncio.Future[bytes]":
        """The PDU of the reply. echo: what the line will give back first."""
        future = self._loop.create_future()
        self._waiting[wanted.transaction], self._futures[wanted.transaction] = wanted, future
        self._echo = echo
        self.heard_at = self._loop.time()
        return future

    def forget(self, wanted: Wanted) -> None:
        """Nobody waits for it any more."""
        self._waiting.pop(wanted.transaction, None)
        self._futures.pop(wanted.transaction, None)

    def drop_input(self) -> None:
        """Throw away what came unasked."""
        self._buffer.clear()

    def fail(self, reason: str) -> None:
        """The connection is gone; everybody who waits is told."""
        self.lost = self.lost or f"{self._name}: {reason}"
        for future in self._futures.values():
            if not future.done():
                future.set_exception(NotConnected(self.lost))

    def data_received(self, data: bytes) -> None:
        self.heard_at = self._loop.time()
        self._buffer += data
        if self._echo:
            self._cut_echo()
        if not self._waiting and len(self._buffer) > 4096:
            self._buffer.clear()
        try:
            while self._buffer and not self._echo and (found := self._framing.take(self._buffer, self._waiting)):
                wanted, pdu = found
                future = self._futures.get(wanted.transaction)
                if future is not None and not future.done():
                    future.set_result(pdu)
                self.forget(wanted)
        except OutOfStepError as error:
            self._buffer.clear()
            self.fail(f"the stream is out of step: {error}")

    def _cut_echo(self) -> None:
        size = min(len(self._echo), len(self._buffer))
        if self._buffer[:size] != self._echo[:size]:
            for future in self._futures.values():
                if not future.done():
                    future.set_exception(BadReply("the echo is not what was sent: a collision, or a line without echo"))
            self._buffer.clear()
            self._echo = b""
        elif size == len(self._echo):
            del self._buffer[:size]
            self._echo = b""

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """A datagram is whole: what does not fit is dropped with it."""
        del addr
        self._buffer.clear()
        if len(data) >= 8 and int.from_bytes(data[2:6], "big") == len(data) - 6:
            self.data_received(data)
        self._buffer.clear()

    def error_received(self, exc: Exception) -> None:
        """ICMP says that nobody listens there."""
        self.fail(str(exc))

    def connection_lost(self, exc: Exception | None) -> None:
        self.fail(str(exc) if exc else "the connection was lost")
