"""Modbus TCP of serial servers that lose the transaction id, or send RTU frames between those of Modbus TCP."""

import re
import struct
from typing import Final

from gateway.sources.modbus.framing import MOST_FAILED_CHECKS, Frame, OutOfStepError, Wanted
from gateway.sources.modbus.framing_mbap import Mbap
from gateway.sources.modbus.framing_rtu import RtuSearch

_HEADER: Final = 7
_LONGEST: Final = 260


class LooseMbap(Mbap):
    """Modbus TCP where the transaction id of a reply says nothing. At most one request waits.

    A reply is known by unit, function and length, with a header around it or as an RTU frame with its checksum. So a reply
    that is late is taken for the one to the next request of equal length, as on a serial line.
    """

    def __init__(self) -> None:
        super().__init__()
        self._wanted: Wanted | None = None
        self._heads: re.Pattern[bytes] = re.compile(b"")
        self._rtu: tuple[RtuSearch, ...] = ()
        self._place = 0
        self._failed = self._failed_in_a_row = 0

    def clear(self) -> None:
        """Begin with what comes next."""
        super().clear()
        self._wanted = None

    def take_failed_checks(self) -> int:
        """Return how many checksums failed since the last call."""
        failed, self._failed = self._failed, 0
        return failed

    def pop_frame(self, buffer: bytearray, waiting: dict[int, Wanted]) -> Frame | None:
        """Remove and return the next whole frame, see `Framing`."""
        wanted = next(iter(waiting.values()), None)
        if wanted is None:
            return super().pop_frame(buffer, waiting)
        if wanted is not self._wanted:
            self._expect(wanted)
        found = self._find_mbap(buffer, wanted) or self._find_rtu(buffer, wanted)
        if found is not None:
            self.clear()
            return found
        cut = max(0, min(self._place, *(search.place - _HEADER + 1 for search in self._rtu)))
        self._passed_over_count += cut
        if self._passed_over_count > _LONGEST or self._failed_in_a_row > MOST_FAILED_CHECKS:
            raise OutOfStepError(f"{bytes(buffer[:8]).hex(' ')} is no Modbus header, and no RTU frame")
        self.passed_over = (self.passed_over + buffer[: min(cut, 16)])[:16]
        del buffer[:cut]
        self._place -= cut
        for search in self._rtu:
            search.cut(cut)
        return None

    def _expect(self, wanted: Wanted) -> None:
        units = b"[%b\0\xff]" % re.escape(bytes((wanted.unit,)))
        values = re.escape(struct.pack(">H", wanted.size + 3)) + units + re.escape(bytes((wanted.function, wanted.size)))
        exception = b"\0." + units + re.escape(bytes((wanted.function | 0x80,)))
        self._heads = re.compile(b"..\0\0(?:" + values + b"|" + exception + b".)", re.DOTALL)
        head = bytes((wanted.unit, wanted.function))
        exception_head = bytes((wanted.unit, wanted.function | 0x80))
        self._rtu = RtuSearch(head + bytes((wanted.size,)), wanted.size + 5), RtuSearch(exception_head, 5)
        self._wanted, self._place = wanted, 0

    def _find_mbap(self, buffer: bytearray, wanted: Wanted) -> Frame | None:
        match = self._heads.search(buffer, self._place)
        if match is None:
            self._place = max(self._place, len(buffer) - _HEADER - 1)
            return None
        begin = self._place = match.start()
        end = begin + _HEADER + (2 if buffer[begin + _HEADER] & 0x80 else wanted.size + 2)
        if len(buffer) < end:
            return None
        found = Frame(buffer[begin + _HEADER - 1], bytes(buffer[begin + _HEADER : end]), wanted)
        del buffer[:end]
        return found

    def _find_rtu(self, buffer: bytearray, wanted: Wanted) -> Frame | None:
        for search in self._rtu:
            frame = search.find(buffer)
            self._failed, self._failed_in_a_row = self._failed + search.failed, self._failed_in_a_row + search.failed
            search.failed = 0
            if frame is not None:
                self._failed_in_a_row = 0
                del buffer[: search.place + len(frame) + 2]
                return Frame(frame[0], frame[1:], wanted)
        return None
