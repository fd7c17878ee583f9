"""All alarms of a configuration as columns, one row each."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from gateway.core.blocks import Mask, Rows, Times, Values
from gateway.core.tags import Tag, TagTable
from gateway.stages.alarms.config import AUTO, KINDS, LEAST_OF_PAIRS_NS, LIMITS, AlarmConfig
from gateway.stages.config import TagPolicy

KIND_NUMBERS: Final = {kind: number for number, kind in enumerate(KINDS)}
SIGNED: Final = 4
"""Kinds below this number compare the value itself."""
DEVIATION, RATE, OFF_NORMAL, DISCREPANCY = (
    KIND_NUMBERS[k] for k in ("deviation", "rate_of_change", "off_normal", "discrepancy")
)
_AUTO_NS: Final = 30_000_000_000
_AUTO_MOST_NS: Final = 300_000_000_000
_AUTO_POLLS: Final = 12
_PAIR_NS: Final = 5_000_000_000


@dataclass(frozen=True, slots=True)
class Conditions:
    """The rows: what is compared with what, and for how long. The order is that of the tags."""

    table: TagTable
    """The tags that they belong to."""
    configs: tuple[AlarmConfig, ...]
    """What the user said of each row."""
    tag: Rows
    """intp[n], the tag."""
    other: Rows
    """intp[n], the second tag of a pair, -1 where there is none."""
    kind: Rows
    """intp[n], number of the kind (`KIND_NUMBERS`)."""
    sign: Values
    """float64[n], -1 for lo and lolo, else 1: the row is raised when sign * value is at or above `on`."""
    on: Values
    """float64[n], limit times sign; 0.5 for off-normal, whose value is 0 or 1."""
    limit: Values
    """float64[n], as configured; for off-normal the first number that is normal."""
    band: Values
    """float64[n], the hysteresis in units of `on`."""
    share: Values
    """float64[n], share of the span seen that is added to `band`; 0 where the band is known."""
    most_band: Values
    """float64[n], the widest band: half of the way to the opposite limit, or to 0 for distances and rates."""
    on_delay: Times
    """int64[n], ns."""
    off_delay: Times
    """int64[n], ns."""
    severity: Rows
    """intp[n], 1 to 1000."""
    normal: Values
    """float64[n, m], values that are normal, NaN where there are fewer than m."""

    def __len__(self) -> int:
        return self.tag.size

    @classmethod
    def of(cls, table: TagTable, policies: Sequence[TagPolicy]) -> "Conditions":
        """Return the rows of a configuration. policies: one per tag id. Alarms that are out of service have no row."""
        known: dict[Any, list[_Row]] = {}  # most tags share a policy
        rows: list[_Row] = []
        tags, others = list[int](), list[int]()
        for tag, policy in zip(table.tags, policies, strict=True):
            key = id(policy), tag.range, tag.interval_ns
            if (own := known.get(key)) is None:
                own = known[key] = [_row(tag, policy, one) for one in policy.all_alarms if not one.out_of_service]
            rows += own
            tags += [tag.id] * len(own)
            others += [_second_tag(table, tag, row.config) for row in own]
        most = max((len(row.normal) for row in rows), default=0)
        normal = [[*row.normal, *[math.nan] * (most - len(row.normal))] for row in rows]
        return cls(
            table,
            tuple(row.config for row in rows),
            np.array(tags, np.intp),
            np.array(others, np.intp),
            np.array([row.kind for row in rows], np.intp),
            np.array([row.sign for row in rows], np.float64),
            np.array([row.on for row in rows], np.float64),
            np.array([row.limit for row in rows], np.float64),
            np.array([row.band for row in rows], np.float64),
            np.array([row.share for row in rows], np.float64),
            np.array([row.most_band for row in rows], np.float64),
            np.array([row.on_delay for row in rows], np.int64),
            np.array([row.off_delay for row in rows], np.int64),
            np.array([row.severity for row in rows], np.intp),
            np.array(normal, np.float64).reshape(len(rows), most),
        )

    def places(self, others: "Conditions", rows: Rows) -> Rows:
        """Return where rows of others stand here, intp[n]: those of the same device, tag, condition and kind; else -1."""
        names = {others.table.devices[others.table.tags[tag].device] for tag in set(others.tag[rows].tolist())}
        known: dict[tuple[str, str, str, str], int] = {}
        for device in (number for number, name in enumerate(self.table.devices) if name in names):
            begin, end = np.searchsorted(self.tag, self.table.range_of(device)).tolist()
            known |= {self._key(row): row for row in range(begin, end)}
        return np.array([known.get(others._key(row), -1) for row in rows.tolist()], np.intp)

    def label(self, row: int) -> str:
        """Return `device/tag condition`, for people."""
        return f"{self.table.label(int(self.tag[row]))} {self.configs[row].condition}"

    def _key(self, row: int) -> tuple[str, str, str, str]:
        config, tag = self.configs[row], self.table.tags[int(self.tag[row])]
        return self.table.devices[tag.device], tag.name, config.condition, config.kind

    def is_pair(self, rows: Rows) -> Mask:
        """Return which of the rows compare two tags."""
        return np.asarray((self.kind[rows] == DEVIATION) | (self.kind[rows] == DISCREPANCY))


@dataclass(frozen=True, slots=True)
class _Row:
    """A row without its tags: equal for tags that share a policy, a range and an interval."""

    config: AlarmConfig
    kind: int
    sign: float
    on: float
    limit: float
    band: float
    share: float
    most_band: float
    on_delay: int
    off_delay: int
    severity: int
    normal: tuple[float, ...]


def _second_tag(table: TagTable, tag: Tag, alarm: AlarmConfig) -> int:
    """Return the id of the second tag of a pair, -1 where there is none."""
    if (alarm.set_point or alarm.other) is None:  # quicker than its kind
        return -1
    own = slice(*table.range_of(tag.device))
    return next((one.id for one in table.tags[own] if one.name == alarm.pair), -1)


def _row(tag: Tag, policy: TagPolicy, alarm: AlarmConfig) -> _Row:
    kind = alarm.kind
    is_discrete, is_pair = kind == "off_normal", alarm.pair is not None
    normal = alarm.normal or ()
    limit = (normal[0] if normal else math.nan) if is_discrete else float(getattr(alarm, KINDS[kind]))
    sign = -1.0 if kind in ("lo", "lolo") else 1.0
    absolute, fraction = policy.hysteresis if alarm.hysteresis is None else alarm.hysteresis
    band, share, most = absolute, 0.0, math.inf
    if is_discrete:
        band, fraction = 0.0, 0.0
    elif fraction:
        band, share, most = _relative_band(tag, policy, alarm, limit, fraction)
    on_delay, off_delay = (policy.on_delay if alarm.on_delay is None else alarm.on_delay), alarm.off_delay
    if is_pair and alarm.on_delay is None:
        on_delay = max(on_delay, _PAIR_NS)
    if off_delay is None:
        off_delay = policy.off_delay
    if off_delay == AUTO:
        polls = min(max(_AUTO_NS, _AUTO_POLLS * tag.interval_ns), _AUTO_MOST_NS)
        off_delay = polls if fraction else _PAIR_NS if is_pair else 0
    if is_pair:
        off_delay = max(off_delay, LEAST_OF_PAIRS_NS)
    severity = alarm.severity or (800 if kind in ("hihi", "lolo") else 500)
    numbers = KIND_NUMBERS[kind], sign, 0.5 if is_discrete else limit * sign, limit
    return _Row(alarm, *numbers, band, share, most, on_delay, off_delay, severity, normal)


def _relative_band(
    tag: Tag, policy: TagPolicy, alarm: AlarmConfig, limit: float, fraction: float
) -> tuple[float, float, float]:
    """Return the band, the share of the span seen, and the widest band, of a hysteresis in percent."""
    if alarm.kind == "rate_of_change":
        return min(fraction, 0.5) * limit, 0.0, math.inf
    most = limit / 2 if alarm.pair is not None else _half_way(policy, alarm, limit)
    if tag.range is not None:
        return min(fraction * tag.range[1] - fraction * tag.range[0], most), 0.0, most
    return 0.0, fraction, most


def _half_way(policy: TagPolicy, alarm: AlarmConfig, limit: float) -> float:
    """Return half of the distance to the nearest limit on the other side."""
    is_high = alarm.kind in ("hihi", "hi")
    names = LIMITS[2:] if is_high else LIMITS[:2]
    found = [v for one in policy.all_alarms for name in names if (v := getattr(one, name)) is not None]
    return min((abs(limit / 2 - v / 2) for v in found), default=math.inf)
