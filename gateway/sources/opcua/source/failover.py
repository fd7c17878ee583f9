"""When it is worth to leave a server for another one (OPC UA Part 4, 6.6.2.4). Pure: standings and monotonic seconds in."""

from typing import Final

from gateway.sources.opcua.port.session import ServerHealth

RETURN_S: Final = 60.0
"""The first server has to be as good for so long before it is taken back; twice as long each time it did not last."""
MOST_DOUBLINGS: Final = 5
STEADY_S: Final = 600.0
"""A first server that was taken back and had to be left again within this time did not last."""
HOLD_S: Final = 30.0
"""A change is followed by no other for so long, unless the server has no data any more."""
BEST: Final = 255
_DEGRADED: Final = 2
_NO_DATA: Final = 1


def badness(standing: ServerHealth | None) -> tuple[bool, int]:
    """For sorting, best first: one that runs before one that does not or is away, then by ServiceLevel."""
    return (True, BEST) if standing is None else (not standing.is_running, BEST - standing.level)


def class_of(standing: ServerHealth) -> int:
    """The four classes of ServiceLevels: 0 maintenance (or it does not run), 1 no data, 2 degraded, 3 healthy."""
    return min(standing.level, _DEGRADED) + standing.is_healthy if standing.is_running else 0


class Failover:
    """Follows the server in use and the others, and says when to change. A change costs a connection, so it must not flap:

    a server of a better class is taken at once, one that is merely a little better after a minute; the first server is taken
    back after a minute, after two when it did not last, and so on.
    """

    def __init__(self) -> None:
        self._is_first = self._was_healthy = True
        self._due_s = self._moved_s = float("-inf")
        self._better_since_s: float | None = None
        self._returned_s: float | None = None
        self._falters = 0

    @property
    def _patience_s(self) -> float:
        return RETURN_S * 2.0 ** min(self._falters, MOST_DOUBLINGS)

    def opened(self, now_s: float, *, is_first: bool) -> None:
        """A server was connected, perhaps the same as before."""
        if self._is_first and self._returned_s is not None:
            self._falters = self._falters + 1 if now_s - self._returned_s < STEADY_S else 0
            self._returned_s = None
        if is_first and not self._is_first:
            self._returned_s = now_s
        self._is_first, self._was_healthy, self._better_since_s = is_first, True, None
        self._due_s = now_s + RETURN_S / 2

    def wants_to_ask(self, here: ServerHealth, now_s: float) -> bool:
        """Whether the others should be asked how they stand; the first one alone while `here` is healthy."""
        if here.is_healthy != self._was_healthy:
            self._was_healthy, self._better_since_s = here.is_healthy, None
            self._due_s = now_s + RETURN_S / 2 if here.is_healthy else now_s
        if (here.is_healthy and self._is_first) or now_s < self._due_s:
            return False
        self._due_s = now_s + RETURN_S / 2
        return True

    def leaves(self, here: ServerHealth, other: ServerHealth | None, now_s: float) -> bool:
        """`here` is not healthy: take the other one now?"""
        if not self._is_better(other is not None and badness(other) < badness(here), now_s):
            return False
        assert other is not None
        holds = class_of(here) >= _DEGRADED and now_s - self._moved_s < HOLD_S
        if (class_of(other) > class_of(here) and not holds) or self._better_for(now_s) >= RETURN_S:
            self._moved_s = now_s
            return True
        return False

    def returns(self, here: ServerHealth, first: ServerHealth | None, now_s: float) -> bool:
        """`here` is healthy and not the first: take that one back now?"""
        is_good = first is not None and first.is_healthy and badness(first) <= badness(here)
        if self._is_better(is_good, now_s) and self._better_for(now_s) >= self._patience_s:
            self._moved_s = now_s
            return True
        return False

    def _is_better(self, is_better: bool, now_s: float) -> bool:
        if not is_better:
            self._better_since_s = None
        elif self._better_since_s is None:
            self._better_since_s = now_s
        return is_better

    def _better_for(self, now_s: float) -> float:
        return 0.0 if self._better_since_s is None else now_s - self._better_since_s
