"""Frames of Modbus TCP, UDP and TLS: replies are found by transaction id."""

import struct
from typing import Final

from gateway.sources.modbus.framing import Frame, OutOfStepError, Wanted

_NO_UNIT: Final = (0, 255)
_HEADER: Final = 7  # transaction, protocol, length, unit
_LONGEST: Final = 260  # MODBUS Messaging on TCP/IP 1.0b, 3.1.3
_EXCEPTION_LENGTH: Final = 3  # unit, function, code
_SHOWN: Final = 16


class Mbap:
    """MODBUS Messaging on TCP/IP 1.0b, 3.1.3.

    Devices that have no units may answer with the unit 0 or 255, which mean none (4.4.2.1). An exception is two bytes, and
    values are as many as their byte count says, also where the header claims more: some devices count one too many, or pad
    the frame; some count one too few for an exception. What follows such a frame, or what is no header at all, is passed
    over until the header of a reply that is waited for, at most one frame's length.

    Attributes:
        passed_over: The beginning of what was passed over since the last frame.
        bad_frames: How often something was passed over, ever.
    """

    def __init__(self) -> None:
        self._is_lost = False
        self._passed_over_count = 0
        self.passed_over = b""
        self.bad_frames = 0

    def encode(self, wanted: Wanted, pdu: bytes) -> bytes:
        """Return the whole frame of a request."""
        return struct.pack(">HHHB", wanted.transaction, 0, len(pdu) + 1, wanted.unit) + pdu

    def clear(self) -> None:
        """Begin with what comes next."""
        self._is_lost, self.passed_over, self._passed_over_count = False, b"", 0

    def take_failed_checks(self) -> int:
        """Return 0: there are no checksums."""
        return 0

    def pop_frame(self, buffer: bytearray, waiting: dict[int, Wanted]) -> Frame | None:
        """Remove and return the next whole frame, see `Framing`."""
        while True:
            if self._is_lost:
                self._find_header(buffer, waiting)
            if self._is_lost or len(buffer) <= _HEADER:
                return None
            transaction, protocol, length, unit = struct.unpack_from(">HHHB", buffer)
            if not protocol and 2 <= length <= _LONGEST - _HEADER + 1:
                break
            self._is_lost = True
            self.bad_frames += 1
            self._pass_over(buffer, 1)
        wanted = waiting.get(transaction)
        if wanted is not None and unit != wanted.unit and unit not in _NO_UNIT:
            wanted = None
        true_length = length if wanted is None else _true_length(buffer, length, wanted)
        is_odd, end = true_length != length, _HEADER - 1 + true_length
        if len(buffer) < end:
            return None
        found = Frame(unit, bytes(buffer[_HEADER:end]), wanted, transaction)
        del buffer[:end]
        self._is_lost, self.passed_over, self._passed_over_count = is_odd, b"", 0
        return found

    def _find_header(self, buffer: bytearray, waiting: dict[int, Wanted]) -> None:
        """Cut off what stands before the first header that is waited for. Raises OutOfStepError."""
        places = [place for one in waiting.values() if (place := buffer.find(struct.pack(">HH", one.transaction, 0))) >= 0]
        self._pass_over(buffer, min(places, default=max(0, len(buffer) - 3)))
        self._is_lost = not places

    def _pass_over(self, buffer: bytearray, count: int) -> None:
        self.passed_over = (self.passed_over + buffer[: min(count, _SHOWN)])[:_SHOWN]
        self._passed_over_count += count
        if self._passed_over_count > _LONGEST:
            raise OutOfStepError(f"{self.passed_over[:8].hex(' ')} is no Modbus header")
        del buffer[:count]


def _true_length(buffer: bytearray, length: int, wanted: Wanted) -> int:
    """Return what the length in the header of a reply should have been.

    Values that are fewer than their byte count are not completed by what follows.
    """
    function = buffer[_HEADER]
    if function == wanted.function | 0x80:
        return _EXCEPTION_LENGTH
    if function == wanted.function and len(buffer) > _HEADER + 1 and buffer[_HEADER + 1] == wanted.size:
        return min(length, wanted.size + _EXCEPTION_LENGTH)
    return length
