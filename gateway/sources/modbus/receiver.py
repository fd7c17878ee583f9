"""What comes in on one connection, and who waits for it. No I/O: an asyncio protocol."""

import asyncio
from typing import Any, Final

from serial import SerialException

from gateway.core.errors import NotConnected
from gateway.sources.modbus.framing import Framing, Mbap, OutOfStepError, Wanted
from gateway.sources.modbus.link import BadReply

_SHOWN: Final = 16


class Conversation(asyncio.Protocol, asyncio.DatagramProtocol):
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
        refused = isinstance(exc, ConnectionRefusedError)
        self.fail("connection refused" if refused else getattr(exc, "strerror", None) or str(exc))

    def connection_lost(self, exc: Exception | None) -> None:
        if isinstance(exc, SerialException):
            self.fail("the serial device is gone; was the adapter unplugged?")
        else:
            self.fail(str(exc) if exc else "the connection was lost")
