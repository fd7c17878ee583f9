"""HiHi, Hi, Lo and LoLo limits, evaluated on every sample at once."""

import math
from typing import Final, Literal

import numpy as np

from gateway.core.blocks import Mask, Rows, SampleBlock, TagIds, Values
from gateway.core.events.process import LimitAlarm, LimitName
from gateway.core.quality import USABLE_FROM
from gateway.core.tag_move import TagMove
from gateway.core.tags import TagTable

CONDITIONS: Final[tuple[tuple[LimitName, int, int], ...]] = (
    ("hihi", 1, 800),
    ("hi", 1, 500),
    ("lo", -1, 500),
    ("lolo", -1, 800),
)
"""Name, direction and severity (1 to 1000, OPC UA Part 9, 5.5.2) of each limit."""


class Limits:
    """The limit alarms of all tags; each limit is a condition of its own (NonExclusiveLimitAlarm, OPC UA Part 9, 5.8.18).

    A condition becomes active at or beyond its limit and clears when the value is back inside by more than the
    hysteresis. Bad samples change nothing: an alarm of a tag that is lost stays active.
    """

    def __init__(self, table: TagTable, limits: Values, hysteresis: Values) -> None:
        """Begin with no alarm active.

        limits, hysteresis: float64[4, tags] in the order of `CONDITIONS`, NaN where a tag has no such limit.
        """
        self._table = table
        self._sign = np.array([[c[1]] for c in CONDITIONS], float)
        self._on = limits * self._sign
        self._off = self._on - hysteresis
        self._limit = limits
        self._high = np.fmin(limits[0], limits[1])
        self._low = np.fmax(limits[2], limits[3])
        self._active = np.zeros(limits.shape, np.bool_)
        self._any_active = np.zeros(limits.shape[1], np.bool_)
        self._some_active = False
        self._any_limits = bool(np.isfinite(limits).any())

    def evaluate(self, block: SampleBlock) -> list[LimitAlarm]:
        """Return alarms that begin or end, in the order of their times. Samples of one tag must stand in time order."""
        if not self._any_limits:
            return []
        tag, value = block.tag.astype(np.intp), block.value  # else numpy converts them for each look-up
        beyond = (value >= self._high[tag]) | (value <= self._low[tag])
        if self._some_active:
            beyond |= self._any_active[tag]
        if not np.count_nonzero(beyond):  # nearly always; measured: the array's own any() takes four times as long
            return []
        beyond &= block.quality >= USABLE_FROM
        if not np.count_nonzero(beyond):
            return []
        concerned = np.zeros(self._any_active.size, np.bool_)
        concerned[tag[beyond]] = True
        rows = np.flatnonzero(concerned[tag] & (block.quality >= USABLE_FROM))
        rows = rows[np.argsort(tag[rows], kind="stable")]
        events = [e for c in range(len(CONDITIONS)) for e in self._evaluate_limit(c, block, rows)]
        events.sort(key=lambda event: event.time_ns)
        tags = np.unique(tag[rows])
        self._any_active[tags] = self._active[:, tags].any(axis=0)
        self._some_active = bool(self._any_active.any())
        return events

    @property
    def active(self) -> Mask:
        """Return which alarms are active, bool[4, tags] in the order of `CONDITIONS`."""
        return self._active

    @property
    def has_limits(self) -> Mask:
        """Return which tags have a limit, bool[tags]."""
        return np.asarray(np.isfinite(self._limit).any(axis=0))

    def restore(self, active: Mask, rows: Rows) -> None:
        """Take over which alarms are active. active: bool[4, n]; rows: the tags that its columns are of.

        An alarm without a limit does not become active.
        """
        self._active[:, rows] = active & np.isfinite(self._limit[:, rows])
        self._any_active = np.asarray(self._active.any(axis=0))
        self._some_active = bool(self._any_active.any())

    def take_over(self, other: "Limits", move: TagMove) -> None:
        """Take over which alarms of another one are active, for tags that mean the same."""
        self.restore(other.active[:, move.learnt_old], move.learnt_new)

    def end(self, tags: TagIds, now_ns: int) -> list[LimitAlarm]:
        """Return the end of every active alarm of tags that are no more."""
        return self._without_value(tags, "cleared", now_ns)

    def announced(self, time_ns: int) -> list[LimitAlarm]:
        """Return every active alarm once more, without a value: for those who know nothing yet."""
        return self._without_value(np.arange(self._any_active.size, dtype=np.uint32), "active", time_ns)

    def _without_value(self, tags: TagIds, state: Literal["active", "cleared"], time_ns: int) -> list[LimitAlarm]:
        return [
            LimitAlarm(
                time_ns=time_ns,
                device=self._table.tags[tag].device,
                tag=tag,
                state=state,
                condition=CONDITIONS[condition][0],
                severity=CONDITIONS[condition][2],
                value=math.nan,
                limit=float(self._limit[condition, tag]),
            )
            for tag in tags[self._any_active[tags]].tolist()
            for condition in np.flatnonzero(self._active[:, tag]).tolist()
        ]

    def _evaluate_limit(self, condition: int, block: SampleBlock, rows: Rows) -> list[LimitAlarm]:
        """Return the alarms of one limit; `rows` are sorted by tag and, within a tag, by time."""
        tag, value = block.tag[rows], block.value[rows] * self._sign[condition, 0]
        on = value >= self._on[condition, tag]
        off = value < self._off[condition, tag]
        begins = np.ones(tag.size, np.bool_)
        begins[1:] = tag[1:] != tag[:-1]
        before = self._active[condition, tag]
        state = _latched(on, off, begins, before)
        previous = np.where(begins, before, np.r_[False, state[:-1]])
        ends = np.r_[begins[1:], True]
        self._active[condition, tag[ends]] = state[ends]
        changed = np.flatnonzero(state != previous)
        return self._events(condition, block, rows[changed], state[changed].tolist())

    def _events(self, condition: int, block: SampleBlock, rows: Rows, active: list[bool]) -> list[LimitAlarm]:
        name, _, severity = CONDITIONS[condition]
        picked = zip(block.tag[rows].tolist(), block.time[rows].tolist(), block.value[rows].tolist(), active, strict=True)
        return [
            LimitAlarm(
                time_ns=time,
                device=self._table.tags[tag].device,
                tag=tag,
                state="active" if is_active else "cleared",
                condition=name,
                severity=severity,
                value=value,
                limit=float(self._limit[condition, tag]),
            )
            for tag, time, value, is_active in picked
        ]


def _latched(on: Mask, off: Mask, begins: Mask, before: Mask) -> Mask:
    """Return the state after each sample: on or off where it decides, else the last decision, else the state before."""
    decided = on | off
    index = np.where(decided | begins, np.arange(on.size), 0)
    latest = np.maximum.accumulate(index)
    return np.where(decided[latest], on[latest], before)
