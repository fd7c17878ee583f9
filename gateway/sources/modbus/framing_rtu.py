"""Frames of RTU, on serial lines and through serial servers: known by unit, function, length and checksum."""

import re
from typing import Final

from gateway.sources.modbus.checksum import crc
from gateway.sources.modbus.framing import MOST_FAILED_CHECKS, Frame, OutOfStepError, Wanted

_HEAD: Final = re.compile(rb"[\x01-\xf7](?:[\x01-\x06\x0f\x10]|[\x81-\x86\x8f\x90][\x01-\x0b])", re.DOTALL)
"""How frames of other requests begin: unit, function; an exception has a code of the standard."""
_READS: Final = (1, 2, 3, 4)
_FIXED_LENGTH: Final = 8  # a request to read, and the reply to a write: unit, function, address, count or value, checksum
_EXCEPTION_LENGTH: Final = 5


class RtuSearch:
    """A search for one known beginning of a frame of known length.

    Each place is judged once, however often more bytes come: where the buffer ends within a candidate, it goes on there.
    """

    def __init__(self, head: bytes, length: int) -> None:
        self._head, self._length = head, length
        self.place = 0
        self.failed = 0

    def find(self, buffer: bytearray) -> bytes | None:
        """Return the frame without its checksum, at `place`; None when there is none yet, and then none before `place`."""
        while (at := buffer.find(self._head, self.place)) >= 0:
            self.place, end = at, at + self._length
            if len(buffer) < end:
                return None
            if crc(bytes(buffer[at : end - 2])) == buffer[end - 2 : end]:
                return bytes(buffer[at : end - 2])
            self.place, self.failed = at + 1, self.failed + 1
            if self.failed > MOST_FAILED_CHECKS:
                return None
        self.place = max(self.place, len(buffer) - len(self._head) + 1)
        return None

    def cut(self, count: int) -> None:
        """Follow the buffer, whose first bytes were removed."""
        self.place = max(0, self.place - count)


class Rtu:
    """MODBUS over Serial Line 1.02, 2.5.1. At most one request waits.

    The reply that is waited for is looked for at every place of what came, so noise before it does no harm; its length is
    known, so that only what begins like it and is as long costs a checksum. Frames of others are looked for behind it.
    """

    def __init__(self) -> None:
        self._wanted: Wanted | None = None
        self._searches: tuple[RtuSearch, ...] = ()
        self._place = self._replied_at = 0
        self._failed = self._failed_in_a_row = 0

    def encode(self, wanted: Wanted, pdu: bytes) -> bytes:
        """Return the whole frame of a request."""
        frame = bytes((wanted.unit,)) + pdu
        return frame + crc(frame)

    def clear(self) -> None:
        """Forget what was found out about the buffer, because it was emptied."""
        self._place, self._wanted = 0, None

    def take_failed_checks(self) -> int:
        """Return how many checksums failed since the last call."""
        failed, self._failed = self._failed, 0
        return failed

    def pop_frame(self, buffer: bytearray, waiting: dict[int, Wanted]) -> Frame | None:
        """Remove and return the next whole frame, see `Framing`."""
        wanted = next(iter(waiting.values()), None)
        if wanted is not self._wanted:
            self._expect(wanted)
        reply = self._find_reply(buffer)
        found = self._find_other(buffer, len(buffer) if reply is None else self._replied_at) or reply
        if self._failed_in_a_row > MOST_FAILED_CHECKS:
            raise OutOfStepError("nothing but damaged frames came")
        if found is not None and found is reply:
            self._cut(buffer, self._replied_at + len(reply.pdu) + 3)
            self._expect(None)
        self._cut(buffer, min([self._place, *(search.place for search in self._searches)]))
        return found

    def _expect(self, wanted: Wanted | None) -> None:
        self._wanted, self._searches = wanted, ()
        if wanted is not None:
            head = bytes((wanted.unit, wanted.function))
            values = RtuSearch(head + bytes((wanted.size,)), wanted.size + 5)
            self._searches = values, RtuSearch(bytes((wanted.unit, wanted.function | 0x80)), _EXCEPTION_LENGTH)

    def _find_reply(self, buffer: bytearray) -> Frame | None:
        """Return the reply that is waited for, which begins at `_replied_at`."""
        for search in self._searches:
            frame = search.find(buffer)
            self._failed, self._failed_in_a_row = self._failed + search.failed, self._failed_in_a_row + search.failed
            search.failed = 0
            if frame is not None:
                self._failed_in_a_row, self._replied_at = 0, search.place
                return Frame(frame[0], frame[1:], self._wanted)
        return None

    def _find_other(self, buffer: bytearray, end: int) -> Frame | None:
        """Return a frame before `end` that nobody here waits for, cut off with all before it."""
        while (match := _HEAD.search(buffer, self._place, end)) is not None and self._failed_in_a_row <= MOST_FAILED_CHECKS:
            at = self._place = match.start()
            for length in _lengths(buffer, at):
                if end < at + length:
                    if end == len(buffer):
                        return None  # more may come
                    break
                if crc(bytes(buffer[at : at + length - 2])) == buffer[at + length - 2 : at + length]:
                    self._failed_in_a_row = 0
                    found = Frame(buffer[at], bytes(buffer[at + 1 : at + length - 2]))
                    self._cut(buffer, at + length)
                    return found
                self._failed, self._failed_in_a_row = self._failed + 1, self._failed_in_a_row + 1
            self._place = at + 1
        if match is None:
            self._place = max(self._place, end - 2)
        return None

    def _cut(self, buffer: bytearray, count: int) -> None:
        del buffer[:count]
        self._place = max(0, self._place - count)
        for search in self._searches:
            search.cut(count)


def _lengths(buffer: bytearray, at: int) -> tuple[int, ...]:
    """Return how long a frame of another request that begins here may be, checksum included; shorter ones first."""
    function = buffer[at + 1]
    if function & 0x80:
        return (_EXCEPTION_LENGTH,)
    if function not in _READS or len(buffer) < at + 3:
        return (_FIXED_LENGTH,)
    size = buffer[at + 2]
    if not size or size > 250 or (function in (3, 4) and size % 2):  # MODBUS Application Protocol 1.1b3, 6.1 to 6.4
        return (_FIXED_LENGTH,)
    return tuple(sorted((_FIXED_LENGTH, size + _EXCEPTION_LENGTH)))
