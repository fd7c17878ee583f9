"""Delays that double with each failure. Pure: times are monotonic seconds and are passed in."""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class DoublingDelay:
    """One delay that doubles each time it is used, up to a ceiling, until it is reset.

    For random delays between reconnects of many gateways see `core.backoff.full_jitter`.
    """

    __slots__ = ("_first_s", "_most_s", "current_s")

    def __init__(self, first_s: float, most_s: float) -> None:
        """Create a delay of `first_s`. most_s: the ceiling; one below `first_s` counts as `first_s`."""
        self._first_s = first_s
        self._most_s = max(first_s, most_s)
        self.current_s = first_s
        """The delay in force, seconds."""

    def double(self) -> float:
        """Double the delay in force, up to the ceiling. Returns the new one, seconds."""
        self.current_s = min(2 * self.current_s, self._most_s)
        return self.current_s

    def next_s(self) -> float:
        """Return the delay in force, seconds, and double it for the next time."""
        delay_s = self.current_s
        self.double()
        return delay_s

    def reset(self) -> None:
        """Return to the first delay."""
        self.current_s = self._first_s


@dataclass(slots=True)
class _Timer:
    delay_s: float
    """The delay in force, seconds; 0 where the next failure starts with the first delay."""
    due_s: float
    """When it runs out, monotonic seconds."""


class RetryTimers(Generic[K]):
    """Retry timers of many things by key, each with a delay of its own that doubles with each of its failures."""

    def __init__(self, first_s: float, most_s: float) -> None:
        """Create it without any timer. first_s, most_s: the first and the longest delay, seconds."""
        self._first_s = first_s
        self._most_s = max(first_s, most_s)
        self._timers: dict[K, _Timer] = {}

    def __contains__(self, key: object) -> bool:
        return key in self._timers

    def __len__(self) -> int:
        return len(self._timers)

    def failed(self, key: K, now_s: float) -> float:
        """Start the timer of a key with its first delay, or twice its last one. Returns the delay, seconds."""
        known = self._timers.get(key)
        delay_s = min(2 * known.delay_s, self._most_s) if known and known.delay_s else self._first_s
        self._timers[key] = _Timer(delay_s, now_s + delay_s)
        return delay_s

    def clear(self, keys: Iterable[K]) -> None:
        """Forget these keys: they work. The next failure starts with the first delay."""
        for key in keys:
            self._timers.pop(key, None)

    def wait_s(self, key: K, now_s: float) -> float:
        """Return the seconds until the key is due, 0 where it is due or has no timer."""
        timer = self._timers.get(key)
        return max(0.0, timer.due_s - now_s) if timer else 0.0

    def due(self, now_s: float) -> list[K]:
        """Return the keys whose timers have run out, in the order of their first failure. They stay due."""
        return [key for key, timer in self._timers.items() if timer.due_s <= now_s]

    def hurry(self, now_s: float, keys: Iterable[K] | None = None, *, keeps_delay: bool = False) -> None:
        """Make these keys (default: all) due now; their next failure starts with the first delay.

        keeps_delay: the next failure doubles the last delay, as if the timer had run out.
        """
        for key in list(self._timers) if keys is None else keys:
            if timer := self._timers.get(key):
                timer.due_s, timer.delay_s = min(timer.due_s, now_s), timer.delay_s if keeps_delay else 0.0
