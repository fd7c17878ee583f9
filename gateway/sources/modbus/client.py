"""The real link: one connection over TCP, UDP, TLS or a serial line. Frames are `framing.py`'s."""

import asyncio
import errno
import socket
import ssl
import struct
import termios
from contextlib import suppress
from typing import Any, Final

from pymodbus.transport.serialtransport import create_serial_connection
from serial import SerialException

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
_UNACKNOWLEDGED_MS: Final = 10_000
_KEEPALIVE_S: Final = 10
_SHOWN: Final = 16


class ModbusLink:
    """One connection (MODBUS Messaging on TCP/IP 1.0b; MODBUS over Serial Line 1.02). See `link.Link` for the contract.

    On a bus requests keep a distance from each other, a longer one when the unit changes; after a reply that did not come,
    came damaged or is no longer wanted, the line is listened to until it is silent. With transaction ids (tcp, tls, udp)
    several requests may wait at the same time.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._name = endpoint.path or f"{endpoint.host}:{endpoint.port}"
        self._keeps_distance = endpoint.keeps_distance
        self._is_serial, self._is_udp, self._has_echo = endpoint.is_serial, endpoint.scheme == "udp", endpoint.echo
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
                self._transport, self._conversation = await self._dial(timeout_s)
        except TimeoutError:
            raise NotConnected(f"{self._name} did not accept a connection within {timeout_s:g} s") from None
        except OSError as error:
            raise NotConnected(f"{self._name}: {_reason(error)}") from error
        except (termios.error, ValueError) as error:  # what the port's driver says of its settings is no OSError
            to = self._endpoint
            line = f"{to.baudrate} baud, {to.bytesize} bits, parity {to.parity}, {to.stopbits} stop bits"
            raise NotConnected(f"{to.path} does not take {line}: {error.args[-1]}") from error
        self._last_unit, self._dirty = -1, False
        if not (self._endpoint.is_serial or self._endpoint.scheme == "udp"):
            _watch(self._transport.get_extra_info("socket"))
        await asyncio.sleep(self._endpoint.connect_pause_s)

    async def _dial(self, timeout_s: float) -> tuple[Any, "_Conversation"]:
        loop, to = asyncio.get_running_loop(), self._endpoint
        if to.is_serial:
            pair = await create_serial_connection(
                loop, self._converse, to.path, to.baudrate, to.bytesize, to.parity, to.stopbits, 0
            )
            await asyncio.sleep(0)  # the transport sets itself up in a callback, which a close before it would break
            return pair  # type: ignore[return-value]
        if to.scheme == "udp":
            return await loop.create_datagram_endpoint(self._converse, remote_addr=(to.host, to.port))
        tls: dict[str, Any] = (
            {"ssl": _tls(to), "server_hostname": to.options.get("server_name", to.host)} if to.scheme == "tls" else {}
        )
        *others, last = await _addresses(to.host, to.port)
        for address in others:  # one that leads nowhere must not use up the time of the next
            with suppress(OSError):
                async with asyncio.timeout(timeout_s / (len(others) + 1)):
                    return await loop.create_connection(self._converse, address, to.port, **tls)
        return await loop.create_connection(self._converse, last, to.port, **tls)

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
        if self._keeps_distance:
            await self._wait_for_turn(conversation, unit)
        self._transaction = self._transaction % 0xFFFF + 1
        wanted = Wanted(self._transaction, unit, function)
        frame = self._framing.encode(wanted, pdu)
        loop = asyncio.get_running_loop()
        if self._is_serial:  # what the line needs for request and reply is not the unit's fault
            timeout_s += (
                (len(frame) + size + 5) * self._endpoint.character_s * (2 if self._endpoint.scheme == "ascii" else 1)
            )
        future = conversation.expect(wanted, frame if self._has_echo else b"")
        expiry = loop.call_later(timeout_s, _expire, future, timeout_s, conversation)
        try:
            if self._is_udp:
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
        if self._dirty and to.is_bus:
            pause_s = max(pause_s, to.turnaround_s, _SILENCE_S)
        give_up = loop.time() + _LONGEST_DRAIN_S
        wait_s = conversation.heard_at + pause_s - loop.time()
        while wait_s > 0 and loop.time() < give_up:
            await asyncio.sleep(wait_s)
            wait_s = conversation.heard_at + pause_s - loop.time()
        if conversation.lost:
            raise NotConnected(conversation.lost)
        if to.is_bus:
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


def _expire(future: "asyncio.Future[bytes]", timeout_s: float, conversation: "_Conversation") -> None:
    if not future.done():
        came = conversation.strange()
        future.set_exception(NoReply(f"no reply within {timeout_s:.3g} s" + (f", but {came}" if came else "")))


def _tls(endpoint: Endpoint) -> ssl.SSLContext:
    """MODBUS/TCP Security v36: TLS 1.2 or newer, the client may show a certificate. Raises OSError."""
    options = endpoint.options
    try:
        context = ssl.create_default_context(cafile=options.get("ca"))
    except OSError as error:
        raise OSError(f"ca={options.get('ca')} cannot be used: {error.strerror or error}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if options.get("verify") == "0":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if "cert" in options:
        try:  # without a password OpenSSL would ask for one on the terminal, and everything would wait for it
            context.load_cert_chain(options["cert"], options["key"], password="")
        except OSError as error:
            wrong = "no PEM files that belong together, or the key has a password, which it must not have"
            reason = wrong if isinstance(error, ssl.SSLError) else error.strerror or str(error)
            raise OSError(f"cert={options['cert']} with key={options['key']} cannot be used: {reason}") from error
    return context


async def _addresses(host: str, port: int) -> list[str]:
    """What the name stands for now, asked at every connect; a name or address with one meaning stays as it is."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(one[4][0]) for one in found))
    return addresses if len(addresses) > 1 else [host]


_REASONS: Final[dict[type[OSError], str]] = {
    ConnectionRefusedError: "connection refused",  # asyncio and uvloop differ
    socket.gaierror: "the host name cannot be resolved",
}


def _reason(error: OSError) -> str:
    """Why there is no connection, for people."""
    if isinstance(error, SerialException):
        match error.errno or (errno.EAGAIN if "lock" in str(error) else 0):
            case errno.ENOENT:
                return "there is no such device; is the adapter plugged in?"
            case errno.EACCES | errno.EPERM:
                return "permission denied; the gateway's user needs the group that owns the device, on Debian dialout"
            case errno.EAGAIN | errno.EBUSY:
                return "another program is using it"
            case errno.EISDIR:
                return "it is no serial device"
        return "it is no serial device" if "configure" in str(error) else str(error)
    known = next((reason for kind, reason in _REASONS.items() if isinstance(error, kind)), "")
    return known or error.strerror or str(error)


def _watch(peer: socket.socket) -> None:
    """Notice a peer that vanished without a word: what is sent is not acknowledged, or probes of an idle connection are not
    (RFC 5482; RFC 9293, 3.8.4). A unit that does not answer behind a living server is none of this."""
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPALIVE_S)
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _KEEPALIVE_S)
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 2)
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNACKNOWLEDGED_MS)


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
        self._came, self._sample = 0, b""
        self._loop = asyncio.get_running_loop()
        self.heard_at = self._loop.time()
        self.lost = ""

    def expect(self, wanted: Wanted, echo: bytes) -> "asyncio.Future[bytes]":
        """The PDU of the reply. echo: what the line will give back first."""
        future = self._loop.create_future()
        self._waiting[wanted.transaction], self._futures[wanted.transaction] = wanted, future
        self._echo = echo
        self._came, self._sample = 0, b""
        self.heard_at = self._loop.time()
        return future

    def strange(self) -> str:
        """What came since the last request and answers nothing: on a serial line mostly wrong settings. Or empty."""
        if isinstance(self._framing, Mbap):
            found, self._framing.passed_over = self._framing.passed_over, ""
            return found
        return f"{self._came} bytes that are no reply to it: {self._sample[:_SHOWN].hex(' ')}" if self._came else ""

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
        self._came += len(data)
        self._sample = data
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
        self.fail(_reason(exc) if isinstance(exc, OSError) else str(exc))

    def connection_lost(self, exc: Exception | None) -> None:
        if isinstance(exc, SerialException):
            self.fail("the serial device is gone; was the adapter unplugged?")
        else:
            self.fail(str(exc) if exc else "the connection was lost")
