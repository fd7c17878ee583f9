"""When to leave a server for another one (OPC UA Part 4, 6.6.2.4). Pure: states and monotonic seconds in."""

from typing import Final

from gateway.core.retry_timer import DoublingDelay
from gateway.sources.opcua.port.session import ServerHealth
from gateway.sources.opcua.source.intervals import DEFAULT_INTERVALS, Intervals

BEST: Final = 255
"""The highest ServiceLevel."""
_DEGRADED: Final = 2
_NO_DATA: Final = 1


def badness(health: ServerHealth | None) -> tuple[bool, int]:
    """Return a sort key, best first: servers that run before those that do not or are away, then by ServiceLevel."""
    return (True, BEST) if health is None else (not health.is_running, BEST - health.level)


def class_of(health: ServerHealth) -> int:
    """Return the class of a ServiceLevel: 0 maintenance (or not running), 1 no data, 2 degraded, 3 healthy."""
    return min(health.level, _DEGRADED) + health.is_healthy if health.is_running else 0


class Failover:
    """Follows the server in use and the others, and decides when to change.

    A change costs a connection, so it must not flap. A server of a better class is taken at once, one that is only a little
    better after a minute. The first server is taken back after a minute, after two when it failed again soon, and so on.
    """

    def __init__(self, intervals: Intervals = DEFAULT_INTERVALS) -> None:
        """Begin on the first server."""
        self._intervals = intervals
        self._is_first = self._was_healthy = True
        self._due_s = self._moved_s = float("-inf")
        self._better_since_s: float | None = None
        self._returned_s: float | None = None
        self._failback = DoublingDelay(intervals.failback_s, intervals.failback_most_s)

    def on_connected(self, now_s: float, *, is_first: bool) -> None:
        """Record that a server was connected, perhaps the same as before."""
        if self._is_first and self._returned_s is not None:
            if now_s - self._returned_s < self._intervals.steady_s:
                self._failback.double()
            else:
                self._failback.reset()
            self._returned_s = None
        if is_first and not self._is_first:
            self._returned_s = now_s
        self._is_first, self._was_healthy, self._better_since_s = is_first, True, None
        self._due_s = now_s + self._intervals.failback_s / 2

    def wants_to_ask(self, here: ServerHealth, now_s: float) -> bool:
        """Return whether to ask the others for their state; only the first one while `here` is healthy."""
        if here.is_healthy != self._was_healthy:
            self._was_healthy, self._better_since_s = here.is_healthy, None
            self._due_s = now_s + self._intervals.failback_s / 2 if here.is_healthy else now_s
        if (here.is_healthy and self._is_first) or now_s < self._due_s:
            return False
        self._due_s = now_s + self._intervals.failback_s / 2
        return True

    def leaves(self, here: ServerHealth, other: ServerHealth | None, now_s: float) -> bool:
        """Return whether to take the other server now. `here` is not healthy."""
        if not self._is_better(other is not None and badness(other) < badness(here), now_s):
            return False
        assert other is not None
        is_held = class_of(here) >= _DEGRADED and now_s - self._moved_s < self._intervals.failover_hold_s
        is_long_better = self._better_for_s(now_s) >= self._intervals.failback_s
        if (class_of(other) > class_of(here) and not is_held) or is_long_better:
            self._moved_s = now_s
            return True
        return False

    def returns(self, here: ServerHealth, first: ServerHealth | None, now_s: float) -> bool:
        """Return whether to take the first server back now. `here` is healthy and not the first one."""
        is_good = first is not None and first.is_healthy and badness(first) <= badness(here)
        if self._is_better(is_good, now_s) and self._better_for_s(now_s) >= self._failback.current_s:
            self._moved_s = now_s
            return True
        return False

    def _is_better(self, is_better: bool, now_s: float) -> bool:
        if not is_better:
            self._better_since_s = None
        elif self._better_since_s is None:
            self._better_since_s = now_s
        return is_better

    def _better_for_s(self, now_s: float) -> float:
        return 0.0 if self._better_since_s is None else now_s - self._better_since_s
