"""The real link: requests and their replies over one connection. It is made in `transport.py`, frames are `framing.py`'s."""

import asyncio
import struct
from typing import Any, Final

from gateway.core.errors import NotConnected
from gateway.core.loop_watch import Arrival, LoopWatch
from gateway.sources.modbus.endpoint import Endpoint
from gateway.sources.modbus.framing import Framing, Wanted
from gateway.sources.modbus.framing_ascii import Ascii
from gateway.sources.modbus.framing_loose import LooseMbap
from gateway.sources.modbus.framing_mbap import Mbap
from gateway.sources.modbus.framing_rtu import Rtu
from gateway.sources.modbus.link import BadReply, ExceptionReply, NoReply
from gateway.sources.modbus.receiver import Receiver
from gateway.sources.modbus.strays import Strays
from gateway.sources.modbus.transport import open_transport
from gateway.sources.modbus.types import Table, is_bits

_FUNCTIONS: Final[dict[Table, int]] = {"coil": 1, "discrete": 2, "holding": 3, "input": 4}
_FRAMINGS: Final[dict[str, type[Mbap | Rtu | Ascii]]] = {
    "tcp": Mbap, "udp": Mbap, "tls": Mbap, "rtu+tcp": Rtu, "rtu": Rtu, "ascii": Ascii,
}  # fmt: skip
_SILENCE_S: Final = 0.02
_LONGEST_DRAIN_S: Final = 1.0
_LISTEN_EVERY_S: Final = 0.25
"""Through a serial server: a reply of another master that was taken for ours leaves one of ours behind, which would be taken
for the next request's, and so on as long as requests of equal length follow each other at once. Silence shows it."""
_LISTEN_S: Final = 0.02
_LONGEST_LISTEN_S: Final = 1.5
_SHORTEST_HOLD_S: Final = 0.4


class ModbusLink:
    """One connection (MODBUS Messaging on TCP/IP 1.0b; MODBUS over Serial Line 1.02). See `link.Link` for the contract.

    On a bus requests keep a distance from each other, a longer one when the unit changes; after a reply that did not come,
    came damaged or is no longer wanted, the line is listened to until it is silent. With transaction ids (tcp, tls, udp)
    several requests may wait at the same time.

    Attributes:
        arrival: When the reply came that was returned last.
    """

    def __init__(self, endpoint: Endpoint, watch: LoopWatch | None = None) -> None:
        """Begin without a connection. watch: of the loop that it runs on; without one all times are believed."""
        self._watch = watch or LoopWatch()
        self.arrival = Arrival(0, is_known=False)
        self._endpoint = endpoint
        self._keeps_distance = endpoint.keeps_distance
        self._is_serial, self._is_udp, self._has_echo = endpoint.is_serial, endpoint.scheme == "udp", endpoint.echo
        self._framing: Framing = LooseMbap() if endpoint.ignores_transaction_id else _FRAMINGS[endpoint.scheme]()
        self._strays = Strays(has_transactions=not endpoint.is_ambiguous)
        self._transport: Any = None
        self._receiver: Receiver | None = None
        self._transaction = 0
        self._last_unit = -1
        self._needs_silence = False
        self._is_shared = endpoint.scheme == "rtu+tcp"
        self._round_trip_s = self._silent_at_s = 0.0
        self._first_timeout_s = 0.0
        self._is_measured = False

    @property
    def connected(self) -> bool:
        """Return whether the connection is open, as far as is known."""
        return self._receiver is not None and not self._receiver.lost

    @property
    def unasked(self) -> int:
        """Return how many replies came that nobody here asked for, over all connections."""
        return self._strays.unasked

    @property
    def advice(self) -> str:
        """Return which pause the device needs, if that has been found out."""
        return self._strays.pacing.advice

    @property
    def bad_frames(self) -> int:
        """Return how often something came that is no frame, over all connections."""
        return self._framing.bad_frames if isinstance(self._framing, Mbap) else 0

    async def open(self, timeout_s: float) -> None:
        """Connect afresh. Raises NotConnected with the reason."""
        self.close()
        self._transport, self._receiver = await open_transport(
            self._endpoint, self._framing, self._strays, self._watch, timeout_s
        )
        self._last_unit, self._needs_silence = -1, False
        await asyncio.sleep(max(self._endpoint.connect_pause_s, self._strays.pacing.connect_pause_s()))

    async def read(self, unit: int, table: Table, start: int, count: int, timeout_s: float, octets: int = 2) -> bytes:
        """Send one read and return the payload of its reply. Raises ExceptionReply, NoReply, BadReply, NotConnected."""
        function = _FUNCTIONS[table]
        size = (count + 7) // 8 if is_bits(table) else octets * count
        pdu = await self._ask(unit, function, struct.pack(">BHH", function, start, count), size, timeout_s)
        if pdu[0] == function | 0x80 and len(pdu) == 2:
            raise ExceptionReply(pdu[1])
        if pdu[0] != function:
            self._needs_silence = True
            raise BadReply(f"function {pdu[0]} is not the reply to function {function}")
        if len(pdu) != size + 2 or pdu[1] != size:
            self._needs_silence = True
            raise BadReply(f"{len(pdu) - 2} bytes of values, expected {size}")
        return pdu[2:]

    async def ask(self, unit: int, pdu: bytes, timeout_s: float) -> bytes:
        """Send any request and return the PDU of its reply, as long as its header says. Raises as `read` does."""
        if self._endpoint.is_ambiguous:
            raise BadReply("without a header the length of its reply is not known")
        return await self._ask(unit, pdu[0], pdu, 0, timeout_s)

    async def _ask(self, unit: int, function: int, pdu: bytes, size: int, timeout_s: float) -> bytes:
        receiver = self._receiver
        if receiver is None or receiver.lost:
            raise NotConnected(receiver.lost if receiver else "not open")
        if self._keeps_distance:
            await self._wait_for_turn(receiver, unit)
        elif pause_s := self._strays.pacing.turnaround_s(asyncio.get_running_loop().time()):
            await asyncio.sleep(pause_s)
        self._transaction = self._transaction % 0xFFFF + 1
        wanted = Wanted(self._transaction, unit, function, size)
        frame = self._framing.encode(wanted, pdu)
        loop = asyncio.get_running_loop()
        if self._is_serial:  # what the line needs for request and reply is not the unit's fault
            timeout_s += (
                (len(frame) + size + 5) * self._endpoint.character_s * (2 if self._endpoint.scheme == "ascii" else 1)
            )
        future = receiver.expect(wanted, pdu, frame if self._has_echo else b"")
        expiry = loop.call_later(timeout_s, receiver.expire, wanted, timeout_s)
        try:
            if self._is_udp:
                self._transport.sendto(frame)
            else:
                self._transport.write(frame)
            pdu_of_reply, self.arrival = await future
            self._round_trip_s = max(loop.time() - receiver.last_sent_s, 0.9 * self._round_trip_s)
            self._first_timeout_s = self._first_timeout_s or timeout_s
            return pdu_of_reply
        except (NoReply, BadReply, asyncio.CancelledError):
            self._needs_silence = True
            raise
        finally:
            expiry.cancel()
            receiver.forget(wanted)

    async def _wait_for_turn(self, receiver: Receiver, unit: int) -> None:
        """Keep the distance to the last activity; after a failure wait until the line is silent."""
        loop, to = asyncio.get_running_loop(), self._endpoint
        pause_s = to.unit_pause_s if unit != self._last_unit and self._last_unit >= 0 else to.turnaround_s
        if self._needs_silence and to.is_ambiguous:
            pause_s = max(pause_s, to.turnaround_s, _SILENCE_S)
        pause_s = max(pause_s, self._listen_s(receiver, loop.time()))
        give_up = loop.time() + _LONGEST_DRAIN_S
        wait_s = receiver.last_activity_s + pause_s - loop.time()
        while wait_s > 0 and loop.time() < give_up:
            await asyncio.sleep(wait_s)
            wait_s = receiver.last_activity_s + pause_s - loop.time()
        if receiver.lost:
            raise NotConnected(receiver.lost)
        if to.is_ambiguous:
            receiver.drop_input()
        self._last_unit, self._needs_silence = unit, False

    def _listen_s(self, receiver: Receiver, now_s: float) -> float:
        """Return how long the line has to be silent before the next request, so that a reply left behind would show."""
        if not self._is_shared:
            return 0.0
        listen_s = self._silence_s()
        was_measured, self._is_measured = self._is_measured, bool(self._first_timeout_s)
        silent_s = now_s - receiver.last_activity_s
        can_wait = was_measured or not self._is_measured
        if can_wait and silent_s < listen_s and now_s - self._silent_at_s < _LISTEN_EVERY_S:
            return 0.0
        self._silent_at_s = now_s + max(0.0, listen_s - silent_s)
        return listen_s

    @property
    def doubt_s(self) -> float:
        """Return for how long after a reply it may still show that it was another master's; 0 where it cannot be.

        Then ours comes once the line has served it, which may be taken for the reply to a request that has gone out
        meanwhile, and so on until the line is listened to.
        """
        if not self._is_shared:
            return 0.0
        return max(_SHORTEST_HOLD_S, _LISTEN_EVERY_S + 2 * self._silence_s() + self._round_trip_s)

    def _silence_s(self) -> float:
        """Return how long nothing comes where no reply is left behind.

        After the first reply there is no measure yet: if it was another master's, it came sooner than the line can answer.
        """
        round_trip_s = self._round_trip_s if self._is_measured else max(self._round_trip_s, self._first_timeout_s)
        return min(_LONGEST_LISTEN_S, max(_LISTEN_S, 1.5 * round_trip_s))

    def close(self) -> None:
        """Close the connection. Never raises."""
        transport, self._transport = self._transport, None
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.fail("closed")
        if transport is not None:
            transport.abort()
