"""Log a repeated text only once in a while."""

from collections.abc import Hashable
from typing import Final

from gateway.core.clock import Clock

REMIND_S: Final = 300.0
_MOST_KEYS: Final = 10_000


class LogThrottle:
    """A filter of repeated texts: one is due when it differs from the last one of its key, and every `remind_s` seconds."""

    def __init__(self, clock: Clock, remind_s: float = REMIND_S) -> None:
        """Create an empty throttle. remind_s: seconds until the same text is logged again; `math.inf` for never."""
        self._clock = clock
        self._remind_s = remind_s
        self._last: dict[Hashable, tuple[str, float]] = {}
        self._left_out: dict[Hashable, int] = {}
        self._repeated = 0

    def is_due(self, text: str, key: Hashable = None) -> bool:
        """Return whether the text should be logged now, and count it as logged. key: what it is about."""
        now_s = self._clock.monotonic()
        last = self._last.get(key)
        if last is not None and last[0] == text and now_s - last[1] < self._remind_s:
            self._left_out[key] = self._left_out.get(key, 0) + 1
            return False
        self._repeated = self._left_out.pop(key, 0)
        if len(self._last) >= _MOST_KEYS and key not in self._last:
            del self._last[(oldest := next(iter(self._last)))]
            self._left_out.pop(oldest, None)
        self._last[key] = (text, now_s)
        return True

    @property
    def repeats(self) -> dict[str, int]:
        """Return, as a field of the line that is due, how often the one before was left out since; empty for never."""
        return {"repeated": self._repeated} if self._repeated else {}

    def forget(self, key: Hashable = None) -> None:
        """Forget the last text of a key, so that its next text is due."""
        self._last.pop(key, None)
        self._left_out.pop(key, None)

    def forget_all(self) -> None:
        """Forget the last texts of all keys."""
        self._last.clear()
        self._left_out.clear()
