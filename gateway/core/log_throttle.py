"""Keeps a log readable."""

from gateway.core.clock import Clock

_REMIND_S = 300.0


class Seldom:
    """Says whether a text is worth a line: when it differs from the last one, and every five minutes."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last: tuple[str, float] | None = None

    def due(self, text: str) -> bool:
        """True if it should be logged now; counts it as logged."""
        now = self._clock.monotonic()
        if self._last is not None and self._last[0] == text and now - self._last[1] < _REMIND_S:
            return False
        self._last = (text, now)
        return True

    def forget(self) -> None:
        """The matter is over; the next time is news."""
        self._last = None
