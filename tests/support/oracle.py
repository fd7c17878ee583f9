"""What the stages promise, sample by sample: slow, obvious, and written from the contract rather than from the code."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.core.blocks import SampleBlock, WindowBlock
from gateway.core.quality import GOOD_FROM, USABLE_FROM, Quality

_DENSE = 8


@dataclass(frozen=True)
class Sample:
    """One sample of one tag."""

    tag: int
    time: int
    value: float
    quality: int

    @property
    def usable(self) -> bool:
        """Whether its value may be used."""
        return self.quality >= USABLE_FROM


def samples_of(block: SampleBlock) -> list[Sample]:
    """The rows of a block."""
    columns = (block.tag.tolist(), block.time.tolist(), block.value.tolist(), block.quality.tolist())
    return [Sample(*row) for row in zip(*columns, strict=True)]


# -- one row of a window ---------------------------------------------------------------------------------------------


@dataclass
class Row:
    """What a window says of one tag, None where there is nothing to say."""

    count: int
    good: int
    used: int
    min: float | None
    max: float | None
    mean: float | None
    std: float | None
    first: float | None
    last: float | None
    last_time: int
    quality: int
    scale: float = 0.0


def statistics_of(samples: Sequence[Sample]) -> Row:
    """Statistics of the samples of one tag, which stand in the order in which they came."""
    ordered = sorted(samples, key=lambda s: s.time)
    usable = [s for s in ordered if s.usable]
    row = Row(len(samples), sum(s.quality >= GOOD_FROM for s in samples), len(usable), *[None] * 6, 0, quality_of(ordered))
    if usable:
        values = [s.value for s in usable]
        mean = math.fsum(values) / len(values)
        row.min, row.max, row.mean = min(values), max(values), mean
        row.std = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / len(values))
        row.first, row.last, row.last_time = values[0], values[-1], usable[-1].time
        row.scale = max(abs(v) for v in values)
    return row


def quality_of(samples: Iterable[Sample], gap: bool = False) -> int:
    """Good only if every sample is; bad if none can be used; uncertain between. The reason is the worst one."""
    codes = [s.quality for s in samples]
    if not codes:
        return Quality.BAD
    if max(codes) < USABLE_FROM:
        return min(codes)
    if min(codes) < USABLE_FROM or gap:
        return Quality.UNCERTAIN_PARTIAL
    return Quality.GOOD if min(codes) >= GOOD_FROM else min(codes)


def merged(rows: Sequence[Row]) -> Row:
    """Statistics of all samples behind several rows of one tag (count, min, max, mean and std merge exactly)."""
    filled = [r for r in rows if r.used]
    used = sum(r.used for r in filled)
    total = Row(sum(r.count for r in rows), sum(r.good for r in rows), used, *[None] * 6, 0, 0)
    if used:
        mean = math.fsum(r.used * r.mean for r in filled) / used
        total.mean, total.min, total.max = mean, min(r.min for r in filled), max(r.max for r in filled)
        total.std = math.sqrt(math.fsum(r.used * (r.std**2 + (r.mean - mean) ** 2) for r in filled) / used)
        total.scale = max(max(abs(r.min), abs(r.max)) for r in filled)
    return total


def rows_of(block: WindowBlock) -> dict[int, Row]:
    """The rows of a block by tag, NaN as None."""
    names = ("count", "good", "used", "min", "max", "mean", "std", "first", "last", "last_time", "quality")
    columns = [getattr(block, name).tolist() for name in names]
    blank = [[None if isinstance(v, float) and math.isnan(v) else v for v in row] for row in zip(*columns, strict=True)]
    return {tag: Row(*row) for tag, row in zip(block.tag.tolist(), blank, strict=True)}


_EXACT = ("count", "good", "used", "min", "max", "first", "last", "last_time", "quality")


def differences(real: Row, expected: Row, exact: Sequence[str] = _EXACT) -> dict[str, tuple[Any, Any]]:
    """Fields that differ. Mean and std may be off by rounding only: a few units in the last place of the largest value."""
    found = {name: (getattr(real, name), getattr(expected, name)) for name in exact}
    found = {name: pair for name, pair in found.items() if pair[0] != pair[1]}
    slack = 4e-15 * expected.scale
    for name in ("mean", "std"):
        a, b = getattr(real, name), getattr(expected, name)
        if (a is None) != (b is None) or (a is not None and abs(a - b) > slack + 1e-9 * abs(b) * (name == "std")):
            found[name] = (a, b)
    return found


# -- windows ---------------------------------------------------------------------------------------------------------


@dataclass
class _Open:
    samples: dict[int, list[Sample]] = field(default_factory=dict)
    gap: set[int] = field(default_factory=set)
    ending: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Per tag (time, quality) of the newest sample; time 0: marked unknown."""


@dataclass
class _Held:
    value: float | None = None
    time: int = 0
    quality: int = Quality.BAD_WAITING

    def take(self, sample: Sample) -> None:
        if sample.usable:
            self.value, self.time = sample.value, sample.time
        self.quality = sample.quality

    def is_told_by(self, sample: Sample) -> bool:
        return sample.usable and (self.value, self.time) == (sample.value, sample.time)


Published = tuple[int, bool, dict[int, Row]]


class WindowOracle:
    """`gateway.stages.windows.Windows` with a dict per window and a loop over samples."""

    def __init__(self, tags: int, length: int, grace: int, stale: Sequence[int], now: int) -> None:
        self.tags, self.length, self.grace, self.stale = range(tags), length, grace, stale
        self.held = [_Held() for _ in self.tags]
        self.confirmed = [0 for _ in self.tags]
        self.open: dict[int, _Open] = {}
        self.begun: set[int] = set()
        self.pending: list[Sample] = []
        self.newest = 0
        self.aside: list[Published] = []
        self.untold: list[Sample] = []
        self.in_force: dict[int, Sample] = {}
        """To be told by the next window, if they then still are."""
        self.born = now
        self.start = self.floor(now)

    def floor(self, time: int) -> int:
        """Start of the window of a time."""
        return time // self.length * self.length

    def add(self, samples: Sequence[Sample], now: int) -> None:
        """Samples arrive."""
        self.pending += samples
        if samples:
            self.newest = max(self.newest, self.floor(now))

    def mark(self, tags: Iterable[int], quality: int, now: int) -> None:
        """Tags become unknown."""
        self._take()
        window = self.open.setdefault(max(self.start, self.floor(now), *self.open), _Open())
        for tag in tags:
            window.gap.add(tag)
            window.ending[tag] = (0, quality)

    def close(self, now: int) -> list[Published]:
        """The windows that are over, then supplements."""
        self._take()
        out: list[Published] = []
        if now - (self.start + self.length + self.grace) > _DENSE * self.length:
            until = self.floor(now - self.grace)
            for start in sorted(s for s in self.open if s < until):
                out += self._emit(start)
            self.start = until
        while self.start + self.length + self.grace <= now:
            out += self._emit(self.start)
            self.start += self.length
        out, self.aside = out + self.aside, []
        return out

    def flush(self, now: int) -> list[Published]:
        """All windows, then supplements; go on at `now`."""
        self._take()
        begun = sorted(self.open)
        out = [block for start in begun for block in self._emit(start)]
        self._count(list(self.in_force))
        out += self.aside
        closed, self.start, self.aside = self.start, self.floor(now), []
        if closed - self.start <= _DENSE * self.length:
            begun += range(self.start, closed, self.length)
        self.begun = {start for start in (*begun, *self.begun) if start >= self.start}
        for tag in self.tags:
            self.held[tag].time = min(self.held[tag].time, now)
            self.confirmed[tag] = min(self.confirmed[tag], now)
        return out

    def _take(self) -> None:
        pending = sorted(self.pending, key=lambda s: s.time)
        newest, self.pending, self.newest = self.newest, [], 0
        if not pending:
            return
        oldest = max(self.start, self.floor(newest - _DENSE * self.length - self.grace))
        dense = [s for s in pending if oldest <= self.floor(s.time) <= newest]
        self._set_aside([s for s in pending if not oldest <= self.floor(s.time) <= newest], newest)
        for sample in dense:
            here = self.floor(sample.time)
            window = self.open.setdefault(here, _Open())
            window.samples.setdefault(sample.tag, []).append(sample)
            if sample.time >= window.ending.get(sample.tag, (0, 0))[0]:
                window.ending[sample.tag] = (sample.time, sample.quality)
            for start, later in self.open.items():
                if start > here and later.ending.get(sample.tag, (1, 0))[0] == 0:
                    del later.ending[sample.tag]

    def quality_now(self, tag: int) -> int:
        """What is known of a tag at this moment."""
        quality = self.held[tag].quality
        for start in sorted(self.open):
            quality = self.open[start].ending.get(tag, (0, quality))[1]
        return quality

    def _set_aside(self, aside: list[Sample], newest: int) -> None:
        late = []
        for tag in self.tags:
            mine = [s for s in aside if s.tag == tag]
            if not mine:
                continue
            held, unknown = self.held[tag], self.quality_now(tag) < USABLE_FROM
            told, since = [s for s in mine if held.is_told_by(s)], max(held.time + 1, self.born)
            repeated = [id(s) for s in told]
            if unknown or mine[-1].time >= held.time:
                held.take(mine[-1])
            if unknown:
                same = [s for s in mine if held.is_told_by(s)]
                has_changed = any(s.usable and not held.is_told_by(s) for s in mine)
                told += same[1:] if has_changed else same
                told += [s for s in mine if not s.usable]
            told = [s for s in told if s.time < self.start]
            if unknown and mine[-1] in told and mine[-1].usable and id(mine[-1]) not in repeated and mine[-1].time >= since:
                self._count([tag] if tag in self.in_force else [])
                self.in_force[tag] = mine[-1]
            if told:
                self.confirmed[tag] = newest
                if unknown:
                    for window in self.open.values():
                        if window.ending.get(tag, (0, USABLE_FROM))[1] < USABLE_FROM:
                            del window.ending[tag]
            gone = {id(s) for s in told}
            self.untold += [s for s in mine if id(s) in gone]
            late += [s for s in mine if id(s) not in gone]
        self._supplement(late)

    def _supplement(self, late: Sequence[Sample]) -> None:
        for start in sorted({self.floor(s.time) for s in late}):
            here = [s for s in late if self.floor(s.time) == start]
            rows = {tag: statistics_of([s for s in here if s.tag == tag]) for tag in sorted({s.tag for s in here})}
            self.aside.append((start, True, rows))

    def _count(self, tags: Iterable[int]) -> None:
        """They were in force, but have not been told as such."""
        late = [self.in_force.pop(tag) for tag in tags]
        gone = {id(s) for s in late}
        self.untold = [s for s in self.untold if id(s) not in gone]
        self._supplement(late)

    def _emit(self, start: int) -> list[Published]:
        window = self.open.pop(start, _Open())
        rows = {tag: self._row(window, tag, start + self.length) for tag in self.tags}
        if start not in self.begun:
            self._count([t for t, s in self.in_force.items() if rows[t].count or rows[t].last_time != s.time])
            self.in_force.clear()
            return [(start, False, rows)]
        self.begun.discard(start)
        rows = {tag: row for tag, row in rows.items() if row.count}
        return [(start, True, rows)] if rows else []

    def _row(self, window: _Open, tag: int, end: int) -> Row:
        samples = window.samples.get(tag, [])
        held, row = self.held[tag], statistics_of(samples)
        if row.used and tag in window.ending:  # else an older sample told the tag after it was lost
            held.value, held.time = row.last, row.last_time
        held.quality = window.ending.get(tag, (0, held.quality))[1]
        if samples:
            row.quality = quality_of(samples, tag in window.gap)
            return row
        row.quality = held.quality
        if held.quality >= USABLE_FROM:
            if self.stale[tag] and end - max(held.time, self.confirmed[tag]) > self.stale[tag]:
                row.quality = Quality.BAD_STALE
            else:
                row.last, row.last_time = held.value, held.time
        return row


# -- the other stages ------------------------------------------------------------------------------------------------


class ReportOracle:
    """Report by exception for one tag, in the words of the promise."""

    def __init__(self, absolute: float, fraction: float, max_silence: int, every: bool = False) -> None:
        self.absolute, self.fraction, self.max_silence, self.every = absolute, fraction, max_silence, every
        self.sent: float | None = None
        self.sent_at: int | None = None
        self.quality: int | None = None

    def passes(self, start: int, row: Row) -> bool:
        """Whether the row is sent; if so it is what the subscriber knows from now on."""
        usable = row.quality >= USABLE_FROM
        extremes = (row.min, row.max) if row.used else (row.last, row.last)
        passes = (
            self.sent_at is None
            or row.quality != self.quality
            or not 0 <= start - self.sent_at < self.max_silence
            or (self.every and row.count > 0)
        )
        if usable and not passes:
            band = self.absolute + self.fraction * abs(self.sent) if self.sent is not None else -1.0
            passes = self.sent is None or any(abs(value - self.sent) > band for value in extremes)
        if passes:
            self.sent, self.sent_at, self.quality = row.last if usable else self.sent, start, row.quality
        return passes


class LimitOracle:
    """One condition of one tag: a state machine that sees one sample after the other."""

    def __init__(self, sign: int, limit: float, hysteresis: float) -> None:
        self.sign, self.limit, self.hysteresis, self.active = sign, limit, hysteresis, False

    def sees(self, sample: Sample) -> bool | None:
        """The new state if it changes, else None."""
        if not sample.usable:
            return None
        beyond = self.sign * (sample.value - self.limit)
        if not self.active and beyond >= 0:
            self.active = True
            return True
        if self.active and beyond < -self.hysteresis:
            self.active = False
            return False
        return None


class DetectorOracle:
    """EWMA mean and variance of one tag's window means; see `gateway.stages.detectors.ewma` for the constants' meaning."""

    def __init__(self, threshold: float, alpha: float, warmup: int) -> None:
        self.threshold, self.alpha, self.warmup = threshold, alpha, warmup
        self.mean = self.var = 0.0
        self.seen, self.active = 0, False

    def sees(self, x: float | None) -> tuple[bool, float, float] | None:
        """(new state, score, expected) if the state changes, else None. `x` is None for a window without a value."""
        if x is None or abs(x) > 1e150:
            return None
        sigma = max(math.sqrt(self.var), 1e-3 * max(abs(self.mean), abs(x)), 2.2250738585072014e-308)
        delta, expected, was = x - self.mean, self.mean, self.active
        if self.seen >= self.warmup:
            score = delta / sigma
            self.active = abs(score) >= self.threshold * (0.5 if was else 1.0)
            delta = max(-3 * sigma, min(3 * sigma, delta))
        alpha = max(self.alpha, 1 / (self.seen + 1))
        self.mean += alpha * delta
        self.var = (1 - alpha) * (self.var + alpha * delta**2)
        self.seen += 1
        return (self.active, score, expected) if self.active != was else None
