"""Limit of the rate at which backlog leaves. Pure: the caller passes the time."""

from typing import Final

BURST_S: Final = 1.0
"""What an idle second saves up may go at once; more than that never does."""

_EXACT: Final = 1e-6  # rounding of floats must not cost another sleep


class RateLimiter:
    """A token bucket over messages and bytes; 0 means no limit.

    The last message may overdraw the bytes, which the next ones wait for: one larger than a second's worth still goes.
    """

    def __init__(self, messages_per_s: int, bytes_per_s: int, now: float) -> None:
        self._rates = (messages_per_s, bytes_per_s)
        self._left = [rate * BURST_S for rate in self._rates]
        self._filled_at = now

    def refill(self, now: float) -> None:
        """Add what the time up to `now`, monotonic seconds, allows."""
        passed, self._filled_at = max(0.0, now - self._filled_at), now
        for i, rate in enumerate(self._rates):
            self._left[i] = min(rate * BURST_S, self._left[i] + rate * passed)

    @property
    def delay_s(self) -> float:
        """Return the seconds until the next message may go, 0 when it may go now."""
        needs = ((1.0, self._rates[0], self._left[0]), (1.0, self._rates[1], self._left[1]))
        return max(((need - left) / rate for need, rate, left in needs if rate and left < need - _EXACT), default=0.0)

    def spend(self, size: int) -> None:
        """Count a message with a payload of `size` bytes."""
        self._left[0] -= 1
        self._left[1] -= size
