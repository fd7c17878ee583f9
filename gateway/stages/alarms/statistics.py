"""How good the alarms themselves are: the figures of ISA-18.2 (16.5) and the tags that are a nuisance."""

from collections import deque
from typing import Final

import numpy as np

from gateway.core.blocks import Mask, Rows, Times
from gateway.stages.alarms.conditions import Conditions

_S: Final = 1_000_000_000
_MINUTE_NS: Final = 60 * _S
_TEN_MINUTES_NS: Final = 600 * _S
_FLEETING_NS: Final = 10 * _S
_STALE_NS: Final = 86_400 * _S
_FLOOD: Final = 10
_PERIODS: Final = 144
_TOP: Final = 10


class AlarmStatistics:
    """Counts since the start, and the last day in periods of ten minutes. Rows as in `Conditions`.

    Chattering: begun three times in a minute. Fleeting: cleared within ten seconds. Stale: active for a day. A period of ten
    minutes with more than ten alarms is in flood.
    """

    def __init__(self, conditions: Conditions) -> None:
        """Begin with nothing counted."""
        rows = len(conditions)
        self._conditions = conditions
        self.raised = np.zeros(rows, np.int64)
        self.fleeting = np.zeros(rows, np.int64)
        self.chattering = np.zeros(rows, np.int64)
        self._last: Times = np.zeros((3, rows), np.int64)
        self._periods: deque[tuple[int, int]] = deque(maxlen=_PERIODS)
        self._first_period = -1

    def record(self, row: int, time_ns: int, onset_ns: int, *, is_active: bool) -> None:
        """Count an alarm that begins or ends."""
        if not is_active:
            self.fleeting[row] += time_ns - onset_ns < _FLEETING_NS
            return
        self.raised[row] += 1
        was = self.is_chattering(row, int(self._last[2, row]))
        self._last[:2, row] = self._last[1:, row]
        self._last[2, row] = time_ns
        self.chattering[row] += not was and self.is_chattering(row, time_ns)
        period = time_ns // _TEN_MINUTES_NS
        if self._first_period < 0:
            self._first_period = period
        if self._periods and self._periods[-1][0] >= period:
            self._periods[-1] = self._periods[-1][0], self._periods[-1][1] + 1
        else:
            self._periods.append((period, 1))

    def is_chattering(self, row: int, time_ns: int) -> bool:
        """Return whether a row has begun three times in the minute before."""
        return bool(self._last[0, row] > 0 and time_ns - self._last[0, row] <= _MINUTE_NS)

    def figures(self, active: Mask, onset: Times, now_ns: int) -> dict[str, float | str]:
        """Return the figures for `stats`. active, onset: of each row."""
        now = now_ns // _TEN_MINUTES_NS
        passed = 0 if self._first_period < 0 else min(now - self._first_period + 1, _PERIODS)
        recent = [(period, count) for period, count in self._periods if now - period < _PERIODS]
        in_flood = sum(count > _FLOOD for _, count in recent)
        top = np.argsort(-self.raised, kind="stable")[:_TOP]
        return {
            "alarms_active": int(np.count_nonzero(active)),
            "alarms_raised": int(self.raised.sum()),
            "alarms_hour": sum(count for period, count in recent if now - period < 6),
            "alarms_10min": sum(count for period, count in recent if now == period),
            "alarms_flood_percent": round(100 * in_flood / passed, 1) if passed > 0 else 0.0,
            "alarms_chattering": int(self.chattering.sum()),
            "alarms_fleeting": int(self.fleeting.sum()),
            "alarms_stale": int(np.count_nonzero(active & (now_ns - onset > _STALE_NS))),
            "alarms_top": ", ".join(f"{self._conditions.label(row)} {self.raised[row]}" for row in top if self.raised[row]),
        }

    def take_over(self, other: "AlarmStatistics", new: Rows, old: Rows) -> None:
        """Go on with the counts of rows that stay, and with the last day."""
        self.raised[new], self.fleeting[new] = other.raised[old], other.fleeting[old]
        self.chattering[new], self._last[:, new] = other.chattering[old], other._last[:, old]
        self._periods, self._first_period = other._periods, other._first_period
