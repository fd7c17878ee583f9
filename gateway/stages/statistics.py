"""Mergeable statistics per tag: the one place where counts, means and spreads are computed."""

from dataclasses import dataclass

import numpy as np

from gateway.core.blocks import Counts, Qualities, Rows, SampleBlock, TagIds, Times, Values, WindowBlock
from gateway.core.quality import GOOD_FROM, USABLE_FROM, Quality

NO_FLAW = 255
_LATEST = np.iinfo(np.int64).max


@dataclass(slots=True, eq=False)
class Partial:
    """Statistics that are about to be merged, one row per distinct tag.

    Arrays as in `Statistics`; rows with `used` 0 carry mean 0, m2 0, min +inf, max -inf and NaN for first and last.
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


def of_samples(block: SampleBlock, tags: int) -> Partial:
    """Statistics of samples that stand in time order, one row for each of `tags` tag ids (0..tags-1).

    Bad samples are counted and otherwise left out; mean and spread are two-pass, so a large offset costs no digits.
    """
    row = block.tag.astype(np.intp)
    count = np.bincount(row, minlength=tags)
    flaw = np.full(tags, NO_FLAW, np.uint8)
    good, used_row, value, time, used = count, row, block.value, block.time, count
    if block.quality.size and block.quality.min() < GOOD_FROM:
        flawed = block.quality < GOOD_FROM
        flaw[row[flawed]] = block.quality[flawed]
        good = np.bincount(row[~flawed], minlength=tags)
        usable = block.quality >= USABLE_FROM
        used_row, value, time = row[usable], value[usable], time[usable]
        used = np.bincount(used_row, minlength=tags)
    low, high = np.full(tags, np.inf), np.full(tags, -np.inf)
    np.minimum.at(low, used_row, value)
    np.maximum.at(high, used_row, value)
    mean: Values = np.bincount(used_row, weights=value, minlength=tags) / np.maximum(used, 1)
    # Rounding may carry the mean of equal values just outside them.
    np.clip(mean, low, high, out=mean, where=used > 0)
    m2: Values = np.bincount(used_row, weights=np.square(value - mean[used_row]), minlength=tags)
    first, last = np.full(tags, np.nan), np.full(tags, np.nan)
    first_time, last_time = np.full(tags, _LATEST), np.zeros(tags, np.int64)
    # Of several assignments to one row the last one stands, hence the reversal for the first sample.
    first[used_row[::-1]], first_time[used_row[::-1]] = value[::-1], time[::-1]
    last[used_row], last_time[used_row] = value, time
    return Partial(count, good, used, mean, m2, low, high, first, first_time, last, last_time, flaw)


def of_window(window: WindowBlock) -> Partial:
    """The statistics a window holds, ready to be merged into a longer one."""
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
    )


class Statistics:
    """Running statistics of one span for tag ids 0..tags-1; merges are exact (Chan, Golub, LeVeque 1979).

    gap[tag] says that the tag was unknown for a part of the span although it has samples.
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
        self.gap = np.zeros(tags, np.bool_)

    def merge(self, more: Partial, rows: Rows | slice = slice(None)) -> None:
        """Take more statistics in; `rows` are the distinct tag ids of its rows (all tags by default)."""
        had, adds = self.used[rows], more.used
        total = np.maximum(had + adds, 1)
        delta = more.mean - self.mean[rows]
        # A side without samples must not pull the mean: its weight is 0 and its own mean 0.
        self.mean[rows] += delta * (adds / total)
        self.m2[rows] += more.m2 + np.square(delta) * (had * (adds / total))
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
        self.flaw[rows] = np.where(more.flaw != NO_FLAW, more.flaw, self.flaw[rows])

    def quality(self, in_force: Qualities) -> Qualities:
        """Quality of each tag's span, uint8[tags]; `in_force` counts where there is no sample.

        Good only when every sample is; bad when none can be used; uncertain between (OPC UA Part 13, 5.4.3.2.1 with
        PercentDataGood and PercentDataBad at 100).
        """
        partial = (self.count > self.used) | self.gap
        mixed = np.where(partial, np.uint8(Quality.UNCERTAIN_PARTIAL), self.flaw)
        all_good = (self.good == self.count) & ~self.gap
        with_samples = np.where(self.used == 0, self.flaw, np.where(all_good, np.uint8(Quality.GOOD), mixed))
        return np.where(self.count == 0, in_force, with_samples).astype(np.uint8)

    def window(self, start: int, length: int, late: bool, held: "Held", rows: Rows | None = None) -> WindowBlock:
        """The span as a block: all tags, or the given rows. `held` fills in where there is no sample."""
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


@dataclass(slots=True, eq=False)
class Held:
    """The value in force of each tag: the newest usable one, when it was read, and what it is worth now."""

    value: Values
    time: Times
    quality: Qualities

    @classmethod
    def unknown(cls, tags: int) -> "Held":
        """Nothing has been read yet."""
        return cls(np.full(tags, np.nan), np.zeros(tags, np.int64), np.full(tags, Quality.BAD_WAITING, np.uint8))

    def update(self, block: SampleBlock) -> None:
        """Take samples in time order; a sample older than a value in force changes nothing, an unknown tag takes any."""
        newer = (block.time >= self.time[block.tag]) | (self.quality[block.tag] < USABLE_FROM)
        usable = newer & (block.quality >= USABLE_FROM)
        every = usable.all()
        tag = block.tag if every else block.tag[usable]
        self.value[tag] = block.value if every else block.value[usable]
        self.time[tag] = block.time if every else block.time[usable]
        all_newer = every or newer.all()
        self.quality[block.tag if all_newer else block.tag[newer]] = block.quality if all_newer else block.quality[newer]

    def mark(self, tags: TagIds, quality: int) -> None:
        """From now on these tags are unknown, for the reason in `quality`."""
        self.quality[tags] = quality
