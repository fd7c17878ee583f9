"""Frames around a PDU: MBAP (TCP, UDP, TLS), RTU and ASCII. Bytes in, replies out; no I/O.

This file and `transport.py` are the only ones that know pymodbus: here its framers, there its serial transport.
Checked against pymodbus 3.16: its RTU framer takes the first bytes that look like a known function for a frame, so a
disturbed byte in front can hide a good reply; its ASCII framer raises ValueError on letters that are no hexadecimal digits.
"""

from dataclasses import dataclass
from typing import Final, Protocol

from pymodbus.framer.ascii import FramerAscii
from pymodbus.framer.rtu import FramerRTU
from pymodbus.framer.socket import FramerSocket
from pymodbus.pdu import DecodePDU

_LONGEST_ADU: Final = 260
_LONGEST_NOISE: Final = 1024
_NO_UNIT: Final = (0, 255)


@dataclass(frozen=True, slots=True)
class Wanted:
    """The reply that is waited for."""

    transaction: int
    """Only MBAP carries it."""
    unit: int
    function: int

    def answered_by(self, function: int) -> bool:
        """Return whether a reply with this function code belongs to the request: its own or its exception."""
        return function & 0x7F == self.function


class OutOfStepError(Exception):
    """What came is no frame, and nothing says where the next one begins."""


class Framing(Protocol):
    """One way to put PDUs on a connection."""

    def encode(self, wanted: Wanted, pdu: bytes) -> bytes:
        """Return the whole frame of a request."""
        ...

    def pop_reply(self, buffer: bytearray, waiting: dict[int, Wanted]) -> tuple[Wanted, bytes] | None:
        """Remove and return the first reply (its request and its PDU) that is waited for; None when there is none yet.

        Everything up to its end is cut off the buffer, and so is what can never become a reply. Raises OutOfStepError.
        """
        ...


class Mbap:
    """MODBUS Messaging on TCP/IP 1.0b, 3.1.3: replies are found by transaction id.

    Devices that have no units may answer with the unit 0 or 255, which mean none (4.4.2.1).

    Attributes:
        ignored: What the last reply was that nobody waited for.
    """

    def __init__(self) -> None:
        self._framer = FramerSocket(DecodePDU(False))
        self.ignored = ""

    def encode(self, wanted: Wanted, pdu: bytes) -> bytes:
        """Return the whole frame of a request."""
        return self._framer.encode(pdu, wanted.unit, wanted.transaction)

    def pop_reply(self, buffer: bytearray, waiting: dict[int, Wanted]) -> tuple[Wanted, bytes] | None:
        """Remove and return the first reply that is waited for, see `Framing`."""
        while len(buffer) >= 8:
            length = int.from_bytes(buffer[4:6], "big")
            if buffer[2:4] != b"\0\0" or not 2 <= length <= _LONGEST_ADU - 6:
                raise OutOfStepError(f"{bytes(buffer[:8]).hex(' ')} is no Modbus header")
            if len(buffer) < 6 + length:
                return None
            used, unit, transaction, pdu = self._framer.decode(bytes(buffer[: 6 + length]))
            del buffer[:used]
            wanted = waiting.get(transaction)
            if wanted is not None and (wanted.unit == unit or unit in _NO_UNIT):
                return wanted, pdu
            self.ignored = f"a reply of unit {unit}" if wanted else f"a reply with the transaction id {transaction}"
        return None


class Rtu:
    """MODBUS over Serial Line 1.02, 2.5.1: a reply is known by unit, function, length and checksum.

    At most one request waits. A reply is looked for at every place of what came, so noise before it does no harm.
    """

    def encode(self, wanted: Wanted, pdu: bytes) -> bytes:
        """Return the whole frame of a request."""
        frame = bytes((wanted.unit,)) + pdu
        return frame + FramerRTU.compute_CRC(frame).to_bytes(2, "big")

    def pop_reply(self, buffer: bytearray, waiting: dict[int, Wanted]) -> tuple[Wanted, bytes] | None:
        """Remove and return the first reply that is waited for, see `Framing`."""
        for wanted in waiting.values():
            at = buffer.find(wanted.unit)
            while at >= 0:
                pdu = _rtu_pdu(buffer, at, wanted)
                if pdu is not None:
                    del buffer[: at + len(pdu) + 3]
                    return wanted, pdu
                at = buffer.find(wanted.unit, at + 1)
        del buffer[:-_LONGEST_NOISE]
        return None


def _rtu_pdu(buffer: bytearray, at: int, wanted: Wanted) -> bytes | None:
    if len(buffer) < at + 5 or not wanted.answered_by(buffer[at + 1]):
        return None
    end = at + 3 + (0 if buffer[at + 1] & 0x80 else buffer[at + 2])
    if len(buffer) < end + 2 or FramerRTU.compute_CRC(bytes(buffer[at:end])) != int.from_bytes(buffer[end : end + 2], "big"):
        return None
    return bytes(buffer[at + 1 : end])


class Ascii:
    """MODBUS over Serial Line 1.02, 2.5.2: `:`, hexadecimal digits, LRC, CR LF. At most one request waits."""

    def __init__(self) -> None:
        self._framer = FramerAscii(DecodePDU(False))

    def encode(self, wanted: Wanted, pdu: bytes) -> bytes:
        """Return the whole frame of a request."""
        return self._framer.encode(pdu, wanted.unit, 0)

    def pop_reply(self, buffer: bytearray, waiting: dict[int, Wanted]) -> tuple[Wanted, bytes] | None:
        """Remove and return the first reply that is waited for, see `Framing`."""
        while (end := buffer.find(b"\r\n")) >= 0:
            line = bytes(buffer[max(0, buffer.rfind(b":", 0, end)) : end + 2])
            del buffer[: end + 2]
            try:
                _, unit, _, pdu = self._framer.decode(line)
            except ValueError:
                continue
            for wanted in waiting.values():
                if len(pdu) >= 2 and wanted.unit == unit and wanted.answered_by(pdu[0]):
                    return wanted, pdu
        del buffer[:-_LONGEST_NOISE]
        return None
