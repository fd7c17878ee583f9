"""What the framings of MBAP, RTU and ASCII (`framing_*.py`) have in common. Bytes in, frames out; no I/O."""

from dataclasses import dataclass
from typing import Final, Protocol

MOST_FAILED_CHECKS: Final = 32
"""Checksums that may fail between two frames that are whole: noise makes a few, more is an attack on the processor.

A checksum of the longest frame takes 15 us, so that this many hold the event loop for half a millisecond.
"""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The reply that is waited for."""

    transaction: int
    """Only MBAP carries it."""
    unit: int
    function: int
    size: int
    """Bytes of values of a reply that is no exception."""

    def answered_by(self, function: int) -> bool:
        """Return whether a reply with this function code belongs to the request: its own or its exception."""
        return function & 0x7F == self.function

    def fits(self, unit: int, pdu: bytes) -> bool:
        """Return whether a PDU is what this unit answers: all of the values, or an exception."""
        if unit != self.unit or not pdu:
            return False
        if pdu[0] == self.function:
            return len(pdu) == self.size + 2 and pdu[1] == self.size
        return pdu[0] == self.function | 0x80 and len(pdu) == 2


@dataclass(frozen=True, slots=True)
class Frame:
    """One whole frame that came."""

    unit: int
    pdu: bytes
    wanted: Wanted | None = None
    """The request that it answers."""
    transaction: int = 0
    """Only MBAP carries it."""

    def __str__(self) -> str:
        function = self.pdu[0]
        kind = "an exception" if function & 0x80 else "a reply" if len(self.pdu) != 5 else "a frame"
        return f"{kind} of unit {self.unit} to function {function & 0x7F}"


class OutOfStepError(Exception):
    """What came is no frame, and nothing says where the next one begins."""


class Framing(Protocol):
    """One way to put PDUs on a connection."""

    def encode(self, wanted: Wanted, pdu: bytes) -> bytes:
        """Return the whole frame of a request."""
        ...

    def pop_frame(self, buffer: bytearray, waiting: dict[int, Wanted]) -> Frame | None:
        """Remove and return the next whole frame, waited for or not; None when there is none yet.

        Everything up to its end is cut off the buffer, and so is what can never become a frame; what is left is at most one
        frame long. No byte is looked at twice for the same purpose, and no more checksums are computed than
        `MOST_FAILED_CHECKS`: whatever comes, the effort grows with the number of bytes. Raises OutOfStepError.
        """
        ...

    def clear(self) -> None:
        """Forget what was found out about the buffer, because it was emptied."""
        ...

    def take_failed_checks(self) -> int:
        """Return how many checksums failed since the last call."""
        ...
