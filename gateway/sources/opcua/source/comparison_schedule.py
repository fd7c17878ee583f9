"""When a server's model is compared next. Pure: times are monotonic seconds and are passed in."""

import math
from typing import Final

from gateway.core.retry_timer import DoublingDelay
from gateway.sources.opcua.source.intervals import Intervals

_SHORT_PAUSES: Final = 3
"""So many comparisons in a row may follow each other with the shortest pause."""


class ComparisonSchedule:
    """Comparisons at a regular interval, and soon after a reported change; ever more seldom where changes never end."""

    def __init__(self, intervals: Intervals, every_s: float, first_due_s: float) -> None:
        """Begin with a comparison due at `first_due_s`. every_s: the regular interval, seconds."""
        self._intervals = intervals
        self._every_s = every_s
        self._due_s = first_due_s
        self._soon_s = math.inf
        """When the changes that were reported are compared; infinite without any."""
        self._reported_s = -math.inf
        """When the first of the reports came that are not yet compared."""
        self._compared_s = -math.inf
        self._pause = DoublingDelay(intervals.model_pause_s, every_s)
        self._in_a_row = 0

    @property
    def has_report(self) -> bool:
        """Return whether a reported change waits to be compared."""
        return self._soon_s != math.inf

    def hurry(self, now_s: float) -> None:
        """Record that a change is reported: its comparison waits until the server has finished, but not for ever."""
        if not self.has_report:
            self._reported_s = now_s
        quiet_s = min(now_s + self._intervals.model_quiet_s, self._reported_s + self._intervals.model_quiet_most_s)
        self._soon_s = max(quiet_s, self._compared_s + self._pause.current_s)

    def left_s(self, now_s: float) -> float:
        """Return how long it is to the next comparison, seconds; zero or less when it is due."""
        return min(self._due_s, self._soon_s) - now_s

    def begin(self, now_s: float) -> None:
        """Record that a comparison begins. A server that reports changes on and on is compared ever more seldom."""
        self._in_a_row = self._in_a_row + 1 if now_s - self._compared_s <= 2 * self._pause.current_s else 0
        if self._in_a_row > _SHORT_PAUSES:
            self._pause.double()
        else:
            self._pause.reset()
        self._compared_s = now_s
        self._due_s, self._soon_s = now_s + self._every_s, math.inf
