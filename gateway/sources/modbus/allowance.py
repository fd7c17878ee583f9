"""How much a peer may send that answers nothing. Pure; time comes in as numbers."""

from typing import Final

_MOST: Final = 16_384
_PER_S: Final = 131_072
"""More than a serial line of 921,600 baud brings: all of the traffic of another master on it is allowed."""
_PER_CALL: Final = 16
"""What a call costs beside its bytes, in bytes: it takes as long as looking at so many."""
_PER_FAILED_CHECK: Final = 512
"""What a checksum that fails costs, in bytes: 15 us in Python."""


class Allowance:
    """The bytes that may come without an answer in them: 16 KiB at once, 128 KiB a second.

    A reply that was waited for fills it up again, so a peer that answers is never held to it. It bounds what a peer can take
    of the processor, whatever it sends: at the limit 3 % of a core.
    """

    def __init__(self, now_s: float) -> None:
        """Begin with a full one. now_s: monotonic seconds, as in all calls."""
        self._left, self._at_s = float(_MOST), now_s

    def spend(self, count: int, now_s: float) -> bool:
        """Take off the bytes of one call. Returns whether they were allowed."""
        self._left = min(float(_MOST), self._left + (now_s - self._at_s) * _PER_S) - count - _PER_CALL
        self._at_s = now_s
        return self._left >= 0

    def spend_checks(self, count: int) -> None:
        """Take off checksums that failed."""
        self._left -= count * _PER_FAILED_CHECK

    def fill(self) -> None:
        """Begin again with a full one."""
        self._left = float(_MOST)
