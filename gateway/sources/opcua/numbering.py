"""The numbering of notifications. Pure."""

from typing import Final

_NUMBERS: Final = 2**32 - 1


def missing_between(last: int, now: int) -> int:
    """Notifications lost between two sequence numbers: 1 to 2^32 - 1, then 1 again (Part 4, 7.9); `last` 0: none yet.

    A number that went backwards is a server that counts in its own way, not a loss.
    """
    if last == 0:
        return 0
    gap = (now - last - 1) % _NUMBERS
    return gap if gap < _NUMBERS // 2 else 0
