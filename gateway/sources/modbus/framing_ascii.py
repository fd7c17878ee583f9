"""Frames of ASCII on serial lines: `:`, hexadecimal digits, checksum, CR LF."""

from binascii import unhexlify
from typing import Final

from gateway.sources.modbus.checksum import lrc
from gateway.sources.modbus.framing import MOST_FAILED_CHECKS, Frame, OutOfStepError, Wanted

_LONGEST: Final = 513  # MODBUS over Serial Line 1.02, 2.5.2.1
_SHORTEST: Final = 11  # an exception: unit, function, code, checksum
_END: Final = b"\r\n"


class Ascii:
    """MODBUS over Serial Line 1.02, 2.5.2. At most one request waits."""

    def __init__(self) -> None:
        self._place = 0
        self._failed = self._failed_in_a_row = 0

    def encode(self, wanted: Wanted, pdu: bytes) -> bytes:
        """Return the whole frame of a request."""
        octets = bytes((wanted.unit,)) + pdu
        return b":" + (octets + bytes((lrc(octets),))).hex().upper().encode() + _END

    def clear(self) -> None:
        """Forget what was found out about the buffer, because it was emptied."""
        self._place = 0

    def take_failed_checks(self) -> int:
        """Return how many checksums failed since the last call."""
        failed, self._failed = self._failed, 0
        return failed

    def pop_frame(self, buffer: bytearray, waiting: dict[int, Wanted]) -> Frame | None:
        """Remove and return the next whole frame, see `Framing`. A line costs a checksum only where it is as long as one."""
        begin = 0
        while (end := buffer.find(_END, self._place)) >= 0:
            start = buffer.rfind(b":", begin, end)
            begin = self._place = end + len(_END)
            if start < 0 or not _SHORTEST <= begin - start <= _LONGEST or (begin - start) % 2 == 0:
                continue
            frame = self._decode(bytes(buffer[start + 1 : end]))
            if self._failed_in_a_row > MOST_FAILED_CHECKS:
                raise OutOfStepError("nothing but damaged frames came")
            if frame is not None:
                self._cut(buffer, begin)
                fitting = (wanted for wanted in waiting.values() if wanted.fits(*frame))
                return Frame(*frame, wanted=next(fitting, None))
        self._place = max(self._place, len(buffer) - 1)
        self._cut(buffer, max(begin, len(buffer) - _LONGEST))
        return None

    def _decode(self, digits: bytes) -> tuple[int, bytes] | None:
        """Return unit and PDU of a line, None when its checksum is wrong or it has other letters than digits."""
        try:
            octets = unhexlify(digits)
        except ValueError:
            octets = b""
        if len(octets) < 4 or lrc(octets[:-1]) != octets[-1]:
            self._failed, self._failed_in_a_row = self._failed + 1, self._failed_in_a_row + 1
            return None
        self._failed_in_a_row = 0
        return octets[0], octets[1:-1]

    def _cut(self, buffer: bytearray, count: int) -> None:
        del buffer[:count]
        self._place = max(0, self._place - count)
