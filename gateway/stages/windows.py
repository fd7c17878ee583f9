"""Tumbling windows on whole multiples of their length in wall time."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from gateway.core.blocks import Mask, Rows, SampleBlock, TagIds, Times, WindowBlock
from gateway.core.quality import USABLE_FROM, Quality
from gateway.stages.statistics import Held, Statistics, of_samples

_FOLD_AT = 1 << 18
_DENSE_WINDOWS = 8


class Windows:
    """Samples in, one `WindowBlock` with a row for every tag out per window; late samples as supplements.

    Blocks are only collected when they come and folded into statistics when a window closes or 262,144 samples wait, so
    memory is bounded by tags and not by rates. All times are wall time in ns.
    """

    def __init__(self, tags: int, length_ns: int, grace_ns: int, stale_ns: Times, now_ns: int) -> None:
        """stale_ns: int64[tags], age from which a value in force is no longer believed; 0 = never (device decides)."""
        self._tags = tags
        self._length = length_ns
        self._grace = grace_ns
        self._stale = stale_ns
        self._held = Held.unknown(tags)
        self._open: dict[int, Statistics] = {}
        self._aside: list[WindowBlock] = []
        self._waiting: list[SampleBlock] = []
        self._samples = 0
        self._start = self._floor(now_ns)

    def _floor(self, time_ns: int) -> int:
        return time_ns - time_ns % self._length

    @property
    def next_close_ns(self) -> int:
        """When the oldest open window is due to close."""
        return self._start + self._length + self._grace

    def add(self, block: SampleBlock, now_ns: int) -> None:
        """Take samples as they come."""
        self._waiting.append(block)
        self._samples += len(block)
        if self._samples >= _FOLD_AT:
            self._fold(now_ns)

    def mark(self, tags: TagIds, quality: int, now_ns: int) -> None:
        """The tags are unknown from now on, for the reason in `quality` (a bad code), until their next sample."""
        self._fold(now_ns)
        self._held.mark(tags, quality)
        for statistics in self._open.values():
            statistics.gap[tags] = True

    def close(self, now_ns: int) -> list[WindowBlock]:
        """Every window whose grace is over, oldest first, then supplements. After a stall: those with samples."""
        self._fold(now_ns)
        blocks = []
        if now_ns - self.next_close_ns > _DENSE_WINDOWS * self._length:
            blocks += [self._emit(start) for start in sorted(self._open)]
            self._start = max(self._start, self._floor(now_ns - self._grace))
        while self.next_close_ns <= now_ns:
            blocks.append(self._emit(self._start))
            self._start += self._length
        return blocks + self._supplements()

    def flush(self, now_ns: int) -> list[WindowBlock]:
        """Close everything at once, the window in progress too, and go on at `now_ns`: at a stop or a clock jump."""
        self._fold(now_ns)
        blocks = [self._emit(start) for start in sorted(self._open)] + self._supplements()
        self._start = self._floor(now_ns)
        # After a step back no value in force may seem to come from the future.
        np.minimum(self._held.time, now_ns, out=self._held.time)
        return blocks

    def _supplements(self) -> list[WindowBlock]:
        blocks, self._aside = self._aside, []
        return blocks

    def _emit(self, start: int) -> WindowBlock:
        statistics = self._open.pop(start, None) or Statistics(self._tags)
        end = start + self._length
        stale = (self._stale > 0) & (end - self._held.time > self._stale) & (self._held.quality >= USABLE_FROM)
        quality = np.where(stale, np.uint8(Quality.BAD_STALE), self._held.quality)
        return statistics.window(start, self._length, False, Held(self._held.value, self._held.time, quality))

    def _fold(self, now_ns: int) -> None:
        """Move the waiting samples into the statistics of their windows."""
        if not self._samples:
            return
        block = _in_time_order(_joined(self._waiting))
        self._waiting, self._samples = [], 0
        newest = self._floor(now_ns)
        oldest = max(self._start, newest - _DENSE_WINDOWS * self._length)
        start = block.time - block.time % self._length
        if start[0] < oldest or start[-1] > newest:
            dense = (start >= oldest) & (start <= newest)
            self._set_aside(_rows(block, ~dense))
            block, start = _rows(block, dense), start[dense]
            if not len(block):
                return
        for one, begin, end in _runs(start):
            part = _slice(block, begin, end)
            self._statistics(one).merge(of_samples(part, self._tags))
        self._held.update(block)

    def _statistics(self, start: int) -> Statistics:
        statistics = self._open.get(start)
        if statistics is None:
            statistics = self._open[start] = Statistics(self._tags)
        return statistics

    def _set_aside(self, block: SampleBlock) -> None:
        """Publish samples outside the open windows as supplements, but for those that tell an unknown tag's value.

        The first thing a new subscription says of a tag is the value in force with the time of its last change, often
        long ago. It is no late sample: it becomes the value in force and is reported with its own time.
        """
        newest_of_tag = np.zeros(len(block), np.bool_)
        tag = block.tag[::-1]
        _, first_from_end = np.unique(tag, return_index=True)
        newest_of_tag[len(block) - 1 - first_from_end] = True
        restores = newest_of_tag & (self._held.quality[block.tag] < USABLE_FROM) & (block.time < self._start)
        late = _rows(block, ~restores)
        self._held.update(_rows(block, newest_of_tag))
        start = late.time - late.time % self._length
        for one, begin, end in _runs(start):
            self._aside.append(self._supplement(_slice(late, begin, end), one))

    def _supplement(self, part: SampleBlock, start: int) -> WindowBlock:
        tags, compact = np.unique(part.tag, return_inverse=True)
        statistics = Statistics(tags.size)
        small = SampleBlock(compact.astype(np.uint32), part.time, part.value, part.quality)
        statistics.merge(of_samples(small, tags.size))
        window = statistics.window(start, self._length, start < self._start, Held.unknown(tags.size))
        columns = {name: getattr(window, name) for name in WindowBlock.__slots__}
        return WindowBlock(**columns | {"tag": tags})


def _joined(blocks: list[SampleBlock]) -> SampleBlock:
    if len(blocks) == 1:
        return blocks[0]
    return SampleBlock(
        np.concatenate([b.tag for b in blocks]),
        np.concatenate([b.time for b in blocks]),
        np.concatenate([b.value for b in blocks]),
        np.concatenate([b.quality for b in blocks]),
    )


def _rows(block: SampleBlock, rows: Mask | Rows) -> SampleBlock:
    return SampleBlock(block.tag[rows], block.time[rows], block.value[rows], block.quality[rows])


def _slice(block: SampleBlock, begin: int, end: int) -> SampleBlock:
    if begin == 0 and end == len(block):
        return block
    s = slice(begin, end)
    return SampleBlock(block.tag[s], block.time[s], block.value[s], block.quality[s])


def _in_time_order(block: SampleBlock) -> SampleBlock:
    """Stable, so samples of one tag with equal times keep their order."""
    if (block.time[1:] >= block.time[:-1]).all():
        return block
    return _rows(block, np.argsort(block.time, kind="stable"))


def _runs(start: Times) -> Iterator[tuple[int, int, int]]:
    """(value, begin, end) of each run of equal values in an ascending column."""
    if not start.size:
        return
    edges = [0, *(np.flatnonzero(start[1:] != start[:-1]) + 1).tolist(), start.size]
    for begin, end in pairwise(edges):
        yield int(start[begin]), begin, end
