"""The receiving side of one connection: an asyncio protocol, without I/O of its own."""

import asyncio
import time
from typing import Any, Final

from serial import SerialException

from gateway.core.errors import GatewayError, NotConnected
from gateway.core.loop_watch import Arrival, LoopWatch, elapsed_ns
from gateway.core.os_errors import os_reason
from gateway.core.tcp_info import received_ago_ns
from gateway.sources.modbus.allowance import Allowance
from gateway.sources.modbus.framing import Frame, Framing, OutOfStepError, Wanted
from gateway.sources.modbus.framing_mbap import Mbap
from gateway.sources.modbus.link import BadReply, NoReply
from gateway.sources.modbus.strays import Strays

_SHOWN: Final = 16
_AFTER_STALL_S: Final = 0.05
"""Within it the loop turns, and a reply that came in a stand-still is received."""
_RTU_FRAME: Final = "an RTU frame instead of Modbus TCP (rtu+tcp:// in url, or ignore_transaction_id: true if both come)"


class Receiver(asyncio.Protocol, asyncio.DatagramProtocol):
    """What comes in on one connection, and the requests that wait for it.

    A peer that sends more than its `Allowance` without answering anything loses the connection.

    Attributes:
        lost: Why the connection is gone, empty while it is there.
        last_activity_s: When something was last sent or came in, by the loop's clock.
        last_sent_s: When something was last sent.
        strays: What came that answers nothing.
    """

    def __init__(self, framing: Framing, strays: Strays, name: str, watch: LoopWatch, *, is_shared: bool = False) -> None:
        """Begin with a connection. is_shared: others may ask through it, so the reply may follow a wrong one."""
        self._watch = watch
        self._framing = framing
        framing.clear()
        self._is_shared = is_shared or isinstance(framing, Mbap)
        self._name = name
        self._buffer = bytearray()
        self._waiting: dict[int, Wanted] = {}
        self._futures: dict[int, asyncio.Future[tuple[bytes, Arrival]]] = {}
        self._asked_ns: dict[int, int] = {}
        self._wall_ns = self._came_ns = 0
        self._echo = b""
        self._came, self._sample = 0, b""
        self._loop = asyncio.get_running_loop()
        self._transport: Any = None
        self._allowance = Allowance(self._loop.time())
        self.strays = strays
        self.last_activity_s = self.last_sent_s = self._loop.time()
        self.lost = ""

    def connection_made(self, transport: Any) -> None:
        """Take over the transport, to close it when too much comes."""
        self._transport = transport
        self.strays.pacing.on_opened()  # here: uvloop makes the protocol before it knows whether it can connect
        if self.lost:  # the first byte of a serial line may come before this
            transport.abort()

    def expect(self, wanted: Wanted, pdu: bytes, echo: bytes) -> "asyncio.Future[tuple[bytes, Arrival]]":
        """Return a future for the PDU of the reply and when it came.

        pdu: of the request; echo: what the line will give back first.
        """
        future = self._loop.create_future()
        self._waiting[wanted.transaction], self._futures[wanted.transaction] = wanted, future
        self._asked_ns[wanted.transaction] = elapsed_ns()
        self._echo = echo
        self._came, self._sample = 0, b""
        self.last_activity_s = self.last_sent_s = self._loop.time()
        self.strays.on_request(wanted, pdu, self.last_activity_s)
        return future

    def expire(self, wanted: Wanted, timeout_s: float) -> None:
        """End the wait for a reply that did not come, with what came instead."""
        future = self._futures.get(wanted.transaction)
        if future is None or future.done():
            return
        if self._watch.stands_still:  # the reply may be there, and was not looked for since
            self._loop.call_later(_AFTER_STALL_S, self.expire, wanted, timeout_s)
            return
        if misfit := self.strays.take_misfit(wanted):
            future.set_exception(BadReply(misfit))
            return
        reason = f"no reply within {timeout_s:.3g} s"
        if isinstance(self._framing, Mbap):
            came = (self._framing.passed_over or bytes(self._buffer[:_SHOWN])) if self._came else b""
            if len(came) > 1 and came[0] == wanted.unit and wanted.answered_by(came[1]):
                future.set_exception(BadReply(f"{_RTU_FRAME}: {came.hex(' ')}"))
                return
        else:
            came = self._sample[:_SHOWN]
        if self.strays.other_unit:
            reason += f", but {self.strays.other_unit}"
        elif came:
            reason += f", but {self._came} bytes that are no reply to it: {came.hex(' ')}"
        self.strays.pacing.on_unanswered()
        cure = self.strays.pacing.cure(wanted.unit, timeout_s)
        future.set_exception(NoReply(f"{reason}; {cure}" if cure else reason))

    def forget(self, wanted: Wanted) -> None:
        """Stop waiting for a reply."""
        self.strays.on_given_up(wanted)
        self._waiting.pop(wanted.transaction, None)
        self._futures.pop(wanted.transaction, None)
        self._asked_ns.pop(wanted.transaction, None)

    def drop_input(self) -> None:
        """Drop what came without a request."""
        self._buffer.clear()
        self._framing.clear()

    def fail(self, reason: str) -> None:
        """Record that the connection is gone; every request that waits fails with NotConnected."""
        self.lost = self.lost or f"{self._name}: {reason}"
        self._fail_requests(NotConnected(self.lost))

    def _fail_requests(self, error: GatewayError) -> None:
        for future in self._futures.values():
            if not future.done():
                future.set_exception(error)

    def data_received(self, data: bytes) -> None:
        """Find replies in what came, and hand them to the requests that wait."""
        self._wall_ns, self._came_ns = time.time_ns(), elapsed_ns()  # before anything else is done with it
        if self.lost:
            return
        self.last_activity_s = self._loop.time()
        if not self._allowance.spend(len(data), self.last_activity_s):
            self._give_up("it sends without end, and nothing of it is an answer; is it a Modbus device?")
            return
        self._buffer += data
        self._came += len(data)
        self._sample = data
        if self._echo:
            self._cut_echo()
        if self._echo:
            return
        try:
            while self._buffer and (frame := self._framing.pop_frame(self._buffer, self._waiting)):
                self._on_frame(frame)
        except OutOfStepError as error:
            self._give_up(f"the stream is out of step: {error}")
        self._allowance.spend_checks(self._framing.take_failed_checks())

    def _on_frame(self, frame: Frame) -> None:
        if frame.wanted is None:
            self.strays.record(frame, self._waiting, self._loop.time())
            if not self._is_shared and (misfit := self.strays.take_misfit()):
                self._fail_requests(BadReply(misfit))
            return
        self._allowance.fill()
        self.strays.on_reply(frame.wanted, frame.pdu, self._loop.time())
        future = self._futures.get(frame.wanted.transaction)
        if future is not None and not future.done():
            future.set_result((frame.pdu, self._arrival(frame.wanted)))
        self.forget(frame.wanted)

    def _arrival(self, wanted: Wanted) -> Arrival:
        """Return when the reply came whose last bytes were received just now."""
        return self._watch.arrival(self._wall_ns, self._came_ns, self._asked_ns[wanted.transaction], self._age_ns)

    def _age_ns(self) -> int | None:
        is_last = len(self._futures) == 1 and not self._buffer  # else what came last may be something else
        return received_ago_ns(self._transport) if is_last else None

    def _give_up(self, reason: str) -> None:
        """End the connection and read no more from it."""
        self.drop_input()
        self.fail(reason)
        if self._transport is not None:
            self._transport.abort()

    def _cut_echo(self) -> None:
        size = min(len(self._echo), len(self._buffer))
        if self._buffer[:size] != self._echo[:size]:
            self._fail_requests(BadReply("the echo is not what was sent: a collision, or a line without echo"))
            self.drop_input()
            self._echo = b""
        elif size == len(self._echo):
            del self._buffer[:size]
            self._echo = b""

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """Find a reply in a datagram. A datagram is whole, so what is left of it is dropped."""
        del addr
        self.drop_input()
        self.data_received(data)
        self.drop_input()

    def error_received(self, exc: Exception) -> None:
        """Record an ICMP error: nobody listens there."""
        refused = isinstance(exc, ConnectionRefusedError)
        self.fail("connection refused" if refused or not isinstance(exc, OSError) else os_reason(exc))

    def connection_lost(self, exc: Exception | None) -> None:
        """Record that the connection is gone, with a reason for people."""
        if isinstance(exc, SerialException):
            self.fail("the serial device is gone; was the adapter unplugged?")
        else:
            self.fail(os_reason(exc) if isinstance(exc, OSError) else "the connection was lost")
