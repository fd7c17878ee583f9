"""Mergeable statistics per tag: the one place where counts, means and spreads are computed."""

from dataclasses import dataclass, replace

import numpy as np

from gateway.core.blocks import Counts, Mask, Qualities, Rows, SampleBlock, TagIds, Times, Values, WindowBlock
from gateway.core.quality import GOOD_FROM, USABLE_FROM, Quality
from gateway.core.tag_move import TagMove

NO_FLAW = 255
_LATEST = np.iinfo(np.int64).max


@dataclass(slots=True, eq=False)
class Partial:
    """Statistics that are about to be merged, one row per distinct tag; columns mean the same as in `Statistics`.

    Rows with `used` 0 have mean 0, m2 0, min +inf, max -inf and NaN for first and last; rows with `count` 0 the ending
    NO_FLAW.
    """

    count: Counts
    good: Counts
    used: Counts
    mean: Values
    m2: Values
    min: Values
    max: Values
    first: Values
    first_time: Times
    last: Values
    last_time: Times
    flaw: Qualities
    ending: Qualities
    ending_time: Times


def of_samples(block: SampleBlock, tags: int) -> Partial:
    """Return the statistics of samples that stand in time order, one row for each of `tags` tag ids (0..tags-1).

    Bad samples are counted and otherwise left out; mean and spread are two-pass, so a large offset costs no digits.
    """
    row = block.tag.astype(np.intp)
    count = np.bincount(row, minlength=tags)
    flaw = np.full(tags, NO_FLAW, np.uint8)
    ending = np.full(tags, NO_FLAW, np.uint8)
    ending[row] = block.quality
    good, used_row, value, time, used = count, row, block.value, block.time, count
    if block.quality.size and block.quality.min() < GOOD_FROM:
        flawed = block.quality < GOOD_FROM
        np.minimum.at(flaw, row[flawed], block.quality[flawed])
        good = np.bincount(row[~flawed], minlength=tags)
        usable = block.quality >= USABLE_FROM
        used_row, value, time = row[usable], value[usable], time[usable]
        used = np.bincount(used_row, minlength=tags)
    low, high = np.full(tags, np.inf), np.full(tags, -np.inf)
    np.minimum.at(low, used_row, value)
    np.maximum.at(high, used_row, value)
    divisor = np.maximum(used, 1)
    mean = _sums(used_row, value, tags) / divisor
    if not np.isfinite(mean).all():  # a sum beyond float64: rarer and slower, the mean of the shares
        mean = np.where(np.isfinite(mean), mean, _sums(used_row, value / divisor[used_row], tags))
    # Rounding may carry the mean of equal values just outside them.
    np.clip(mean, low, high, out=mean, where=used > 0)
    with np.errstate(over="ignore", invalid="ignore"):  # beyond 1e154: the spread is infinite, published as null
        m2 = _sums(used_row, np.square(value - mean[used_row]), tags)
    first, last = np.full(tags, np.nan), np.full(tags, np.nan)
    first_time, last_time = np.full(tags, _LATEST), np.zeros(tags, np.int64)
    # Of several assignments to one row the last one stands, hence the reversal for the first sample.
    first[used_row[::-1]], first_time[used_row[::-1]] = value[::-1], time[::-1]
    last[used_row], last_time[used_row] = value, time
    ending_time = last_time
    if used is not count:
        ending_time = np.zeros(tags, np.int64)
        ending_time[row] = block.time
    return Partial(count, good, used, mean, m2, low, high, first, first_time, last, last_time, flaw, ending, ending_time)


def _sums(row: Rows, weight: Values, tags: int) -> Values:
    return np.asarray(np.bincount(row, weights=weight, minlength=tags), np.float64)


def of_window(window: WindowBlock) -> Partial:
    """Return the statistics of a window, ready to be merged into a longer one."""
    none = window.used == 0
    std = np.where(none, 0.0, window.std)
    partial_bad = (window.quality < GOOD_FROM) & (window.count > 0)
    return Partial(
        window.count,
        window.good,
        window.used,
        np.where(none, 0.0, window.mean),
        np.square(std) * window.used,
        np.where(none, np.inf, window.min),
        np.where(none, -np.inf, window.max),
        window.first,
        np.where(none, _LATEST, window.start),
        np.where(none, np.nan, window.last),
        np.where(none, 0, window.last_time),
        np.where(partial_bad, window.quality, NO_FLAW).astype(np.uint8),
        np.full(len(window), NO_FLAW, np.uint8),
        np.zeros(len(window), np.int64),
    )


class Statistics:
    """Running statistics of one span for tag ids 0..tags-1; merges are exact (Chan, Golub, LeVeque 1979).

    Attributes, all with one row per tag:
        count, good, used: numbers of samples, of good ones, of those that the statistics rest on.
        mean, m2, min, max: mean, sum of squared differences from it, extremes of the used samples.
        first, first_time, last, last_time: the earliest and the latest used sample, times in ns.
        flaw: the worst quality below good, NO_FLAW without one.
        ending: the quality at the end of the span, that of its newest sample unless `mark` came after it.
        ending_time: the time of that sample in ns, 0 after `mark`.
        gap: the tag was unknown for a part of the span although it has samples.
    """

    def __init__(self, tags: int) -> None:
        self.count = np.zeros(tags, np.int64)
        self.good = np.zeros(tags, np.int64)
        self.used = np.zeros(tags, np.int64)
        self.mean = np.zeros(tags)
        self.m2 = np.zeros(tags)
        self.min = np.full(tags, np.inf)
        self.max = np.full(tags, -np.inf)
        self.first = np.full(tags, np.nan)
        self.first_time = np.full(tags, _LATEST)
        self.last = np.full(tags, np.nan)
        self.last_time = np.zeros(tags, np.int64)
        self.flaw = np.full(tags, NO_FLAW, np.uint8)
        self.ending = np.full(tags, NO_FLAW, np.uint8)
        self.ending_time = np.zeros(tags, np.int64)
        self.gap = np.zeros(tags, np.bool_)

    def merge(self, more: "Partial | Statistics", rows: Rows | slice = slice(None)) -> None:
        """Merge more statistics. rows: the distinct tag ids of its rows (all tags by default)."""
        had, adds = self.used[rows], more.used
        total = np.maximum(had + adds, 1)
        with np.errstate(over="ignore", invalid="ignore"):
            # A side without samples must not pull the mean, however large the other one is: its own mean is only a 0.
            before = self.mean[rows]
            delta = np.where(adds > 0, more.mean - before, 0.0)
            weighted = before * (had / total) + more.mean * (adds / total)  # when the difference is beyond float64
            self.mean[rows] = np.where(np.isfinite(delta), before + delta * (adds / total), weighted)
            self.m2[rows] += more.m2 + np.square(np.where(had > 0, delta, 0.0)) * (had * (adds / total))
        self.count[rows] += more.count
        self.good[rows] += more.good
        self.used[rows] += adds
        self.min[rows] = np.minimum(self.min[rows], more.min)
        self.max[rows] = np.maximum(self.max[rows], more.max)
        earlier = more.first_time < self.first_time[rows]
        self.first[rows] = np.where(earlier, more.first, self.first[rows])
        self.first_time[rows] = np.where(earlier, more.first_time, self.first_time[rows])
        later = (adds > 0) & (more.last_time >= self.last_time[rows])
        self.last[rows] = np.where(later, more.last, self.last[rows])
        self.last_time[rows] = np.where(later, more.last_time, self.last_time[rows])
        self.flaw[rows] = np.minimum(self.flaw[rows], more.flaw)
        ends = (more.count > 0) & (more.ending_time >= self.ending_time[rows])
        self.ending[rows] = np.where(ends, more.ending, self.ending[rows])
        self.ending_time[rows] = np.where(ends, more.ending_time, self.ending_time[rows])

    def of_rows(self, rows: Rows) -> "Statistics":
        """Return a copy of the statistics of these tag ids, in their order."""
        chosen = Statistics(0)
        for name in vars(chosen):
            setattr(chosen, name, getattr(self, name)[rows])
        return chosen

    def moved(self, move: TagMove) -> "Statistics":
        """Return the statistics of another tag table: those of tags that stay, nothing for the others."""
        moved, blank = Statistics(0), Statistics(1)
        for name in vars(moved):
            setattr(moved, name, move.moved(getattr(self, name), getattr(blank, name)[0]))
        return moved

    def mark(self, tags: TagIds, quality: int) -> None:
        """Make tags unknown from here on, for the reason in `quality`, until their next sample of whatever time."""
        self.gap[tags] = True
        self.ending[tags] = quality
        self.ending_time[tags] = 0

    def unmark(self, tags: TagIds, *, always: bool = False) -> None:
        """Let earlier samples decide how the span ends, for tags that `mark` (`always`: or a bad sample) made unknown."""
        unknown = self.ending[tags] < USABLE_FROM
        known_again = tags[unknown if always else unknown & (self.ending_time[tags] == 0)]
        self.ending[known_again], self.ending_time[known_again] = NO_FLAW, 0

    def confirm(self, tags: TagIds, time: Times, quality: Qualities) -> None:
        """Let these samples, which are in these statistics already, decide how the span ends, whatever `mark` did."""
        last = self.ending_time[tags] == 0
        self.ending[tags[last]], self.ending_time[tags[last]] = quality[last], time[last]

    def quality(self, in_force: Qualities) -> Qualities:
        """Return the quality of each tag's span, uint8[tags]; `in_force` counts where there is no sample.

        Good only when every sample is; bad when none can be used; uncertain between (OPC UA Part 13, 5.4.3.2.1 with
        PercentDataGood and PercentDataBad at 100).
        """
        partial = (self.count > self.used) | self.gap
        mixed = np.where(partial, np.uint8(Quality.UNCERTAIN_PARTIAL), self.flaw)
        all_good = (self.good == self.count) & ~self.gap
        with_samples = np.where(self.used == 0, self.flaw, np.where(all_good, np.uint8(Quality.GOOD), mixed))
        return np.where(self.count == 0, in_force, with_samples).astype(np.uint8)

    def window(self, start: int, length: int, late: bool, held: "LastValue", rows: Rows | None = None) -> WindowBlock:
        """Return the span as a block of all tags, or of the given rows. held: the values where there is no sample."""
        none = self.used == 0
        quality = self.quality(held.quality)
        in_force = none & (self.count == 0) & (quality >= USABLE_FROM)
        block = WindowBlock(
            start,
            length,
            late,
            np.arange(self.used.size, dtype=np.uint32),
            self.count,
            self.good,
            self.used,
            np.where(none, np.nan, self.min),
            np.where(none, np.nan, self.max),
            np.where(none, np.nan, np.clip(self.mean, self.min, self.max)),
            np.where(none, np.nan, np.sqrt(self.m2 / np.maximum(self.used, 1))),
            self.first,
            np.where(in_force, held.value, self.last),
            np.where(in_force, held.time, self.last_time),
            quality,
        )
        return block if rows is None else block.take(rows)

    def ended(self, tags: TagIds, start: int, length: int, late: bool) -> list[WindowBlock]:
        """Return what has been gathered of some tags, as far as there are samples: a block, or nothing."""
        rows = tags.astype(np.intp)
        rows = rows[self.count[rows] > 0]
        if not rows.size:
            return []
        window = self.of_rows(rows).window(start, length, late, LastValue.unknown(rows.size))
        return [replace(window, tag=rows.astype(np.uint32))]


@dataclass(slots=True, eq=False)
class LastValue:
    """The value in force of each tag."""

    value: Values
    """float64[tags], the newest usable value."""
    time: Times
    """int64[tags], when it was read, ns; 0 for never."""
    quality: Qualities
    """uint8[tags], its quality now."""

    @classmethod
    def unknown(cls, tags: int) -> "LastValue":
        """Return the values before anything was read."""
        return cls(np.full(tags, np.nan), np.zeros(tags, np.int64), np.full(tags, Quality.BAD_WAITING, np.uint8))

    def is_repeated_by(self, block: SampleBlock) -> Mask:
        """Return which samples are the value in force once more: the same value with the same time."""
        same: Mask = (block.time == self.time[block.tag]) & (block.value == self.value[block.tag])
        return same

    def moved(self, move: TagMove) -> "LastValue":
        """Return the values of another tag table: those of tags that stay, unknown for the others."""
        quality = move.moved(self.quality, Quality.BAD_WAITING)
        return LastValue(move.moved(self.value, np.nan), move.moved(self.time, 0), quality)

    def advance(self, span: Statistics) -> None:
        """Move to the end of a span that follows; where it was unmarked, what came before it is newer than its values."""
        has_value = (span.used > 0) & (span.ending != NO_FLAW)
        self.value = np.where(has_value, span.last, self.value)
        self.time = np.where(has_value, span.last_time, self.time)
        self.quality = self.quality_after(span)

    def quality_after(self, *spans: Statistics) -> Qualities:
        """Return the quality at the end of the last of several spans that follow."""
        quality = self.quality
        for span in spans:
            quality = np.where(span.ending != NO_FLAW, span.ending, quality)
        return quality

    def set(self, tags: TagIds, value: Values, time: Times, quality: Qualities) -> None:
        """Record one newer sample of each of the tags; a bad one leaves value and time as they are."""
        usable = quality >= USABLE_FROM
        self.value[tags[usable]] = value[usable]
        self.time[tags[usable]] = time[usable]
        self.quality[tags] = quality
