"""The receiving side of one connection: an asyncio protocol, without I/O of its own."""

import asyncio
from typing import Any, Final

from serial import SerialException

from gateway.core.errors import NotConnected
from gateway.sources.modbus.framing import Framing, Mbap, OutOfStepError, Wanted
from gateway.sources.modbus.link import BadReply

_SHOWN: Final = 16


class Receiver(asyncio.Protocol, asyncio.DatagramProtocol):
    """What comes in on one connection, and the requests that wait for it.

    Attributes:
        lost: Why the connection is gone, empty while it is there.
        last_activity_s: When something was last sent or came in, by the loop's clock.
    """

    def __init__(self, framing: Framing, name: str) -> None:
        self._framing = framing
        self._name = name
        self._buffer = bytearray()
        self._waiting: dict[int, Wanted] = {}
        self._futures: dict[int, asyncio.Future[bytes]] = {}
        self._echo = b""
        self._came, self._sample = 0, b""
        self._loop = asyncio.get_running_loop()
        self.last_activity_s = self._loop.time()
        self.lost = ""

    def expect(self, wanted: Wanted, echo: bytes) -> "asyncio.Future[bytes]":
        """Return a future for the PDU of the reply. echo: what the line will give back first."""
        future = self._loop.create_future()
        self._waiting[wanted.transaction], self._futures[wanted.transaction] = wanted, future
        self._echo = echo
        self._came, self._sample = 0, b""
        self.last_activity_s = self._loop.time()
        return future

    def unexpected_input(self) -> str:
        """Return what came since the last request and is no reply, or "". On a serial line: wrong settings."""
        if isinstance(self._framing, Mbap):
            found, self._framing.ignored = self._framing.ignored, ""
            return found
        return f"{self._came} bytes that are no reply to it: {self._sample[:_SHOWN].hex(' ')}" if self._came else ""

    def forget(self, wanted: Wanted) -> None:
        """Stop waiting for a reply."""
        self._waiting.pop(wanted.transaction, None)
        self._futures.pop(wanted.transaction, None)

    def drop_input(self) -> None:
        """Drop what came without a request."""
        self._buffer.clear()

    def fail(self, reason: str) -> None:
        """Record that the connection is gone; every request that waits fails with NotConnected."""
        self.lost = self.lost or f"{self._name}: {reason}"
        for future in self._futures.values():
            if not future.done():
                future.set_exception(NotConnected(self.lost))

    def data_received(self, data: bytes) -> None:
        """Find replies in what came, and hand them to the requests that wait."""
        self.last_activity_s = self._loop.time()
        self._buffer += data
        self._came += len(data)
        self._sample = data
        if self._echo:
            self._cut_echo()
        if not self._waiting and len(self._buffer) > 4096:
            self._buffer.clear()
        try:
            while self._buffer and not self._echo and (found := self._framing.pop_reply(self._buffer, self._waiting)):
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
        """Find a reply in a datagram. A datagram is whole, so what is left of it is dropped."""
        del addr
        self._buffer.clear()
        if len(data) >= 8 and int.from_bytes(data[2:6], "big") == len(data) - 6:
            self.data_received(data)
        self._buffer.clear()

    def error_received(self, exc: Exception) -> None:
        """Record an ICMP error: nobody listens there."""
        refused = isinstance(exc, ConnectionRefusedError)
        self.fail("connection refused" if refused else getattr(exc, "strerror", None) or str(exc))

    def connection_lost(self, exc: Exception | None) -> None:
        """Record that the connection is gone, with a reason for people."""
        if isinstance(exc, SerialException):
            self.fail("the serial device is gone; was the adapter unplugged?")
        else:
            self.fail(str(exc) if exc else "the connection was lost")
