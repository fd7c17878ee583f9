"""What of many alarms is published: a number a minute, and the rest as counts."""

from collections import Counter
from typing import Final

import numpy as np

from gateway.core.events.process import AlarmFlood
from gateway.stages.alarms.conditions import Conditions
from gateway.stages.alarms.flood_config import AlarmsConfig

MINUTE_NS: Final = 60_000_000_000
_NS_PER_MS: Final = 1_000_000
_TOP: Final = 10


class FloodControl:
    """The budget of each minute, and what went beyond it. Each change is either published or counted in one `AlarmFlood`.

    Attributes:
        suppressed: changes counted since the start.
    """

    def __init__(self, conditions: Conditions, config: AlarmsConfig) -> None:
        """Begin with all of the budget."""
        self._conditions = conditions
        self._most = config.most
        self._minute = -1
        self._used = 0
        self._counts: Counter[str] = Counter()
        self._rows: Counter[int] = Counter()
        self._first_ns = self._last_ns = 0
        self.not_before = np.zeros(len(conditions), np.int64)
        """Until when a row is not said again, ns: it is held, because it chatters."""
        self.suppressed = 0

    def takes(self, time_ns: int, *, is_high: bool) -> bool:
        """Return whether one more may be published at this time, and count it."""
        minute = time_ns // MINUTE_NS
        if minute > self._minute:
            self._minute, self._used = minute, 0
        if self._used >= self._most * (2 if is_high else 1):
            return False
        self._used += 1
        return True

    def suppress(self, row: int, time_ns: int, what: str) -> None:
        """Count what is not published. what: `raised`, `cleared` or `quality`."""
        if not self._rows:
            self._first_ns = self._last_ns = time_ns
        self._first_ns, self._last_ns = min(self._first_ns, time_ns), max(self._last_ns, time_ns)
        self._counts[what] += 1
        self._rows[row] += 1
        self.suppressed += 1

    def summary(self, now_ns: int, *, at_once: bool = False) -> list[AlarmFlood]:
        """Return the counts once their minute is over, or at once."""
        if not self._rows or (now_ns - self._first_ns < MINUTE_NS and not at_once):
            return []
        top = [f"{self._conditions.label(row)}: {count}" for row, count in self._rows.most_common(_TOP)]
        event = AlarmFlood(
            time_ns=now_ns,
            start=self._first_ns // _NS_PER_MS,
            end=self._last_ns // _NS_PER_MS,
            raised=self._counts["raised"],
            cleared=self._counts["cleared"],
            quality=self._counts["quality"],
            conditions=len(self._rows),
            top=top,
        )
        self._rows.clear()
        self._counts.clear()
        return [event]
