"""Samples that a server sends again after a connection was lost, and those that it need not send again. Pure."""

from collections.abc import Collection

import numpy as np

from gateway.core.blocks import Mask, ObjectBlock, Rows, SampleBlock
from gateway.core.quality import USABLE_FROM

Objects = dict[int, tuple[object, int, int]]


class ResumeFilter:
    """The last sample of each tag, by time, value and quality, to recognise what a server sends once more.

    A subscription that is taken over goes on: what has not changed meanwhile need not be sent again, but some servers send
    it. A new one begins with the present values. In both cases a first sample that equals the last one counts
    nowhere (`SampleBlock.repeated`), and what is not sent has not changed. A subscription that goes on sends only what came
    after the last sample, so the last one is repeated before it: a late sample must not be taken for the first value of a
    new subscription.

    A node that is polled is sent again at each poll: what has the same time, value and status is no new sample.
    """

    def __init__(self, first_tag: int, tags: int, *, polled: bool = False) -> None:
        """Begin without samples. polled: every sample may be the last one once more."""
        self._first_tag = first_tag
        self._polled = polled
        self._time = np.zeros(tags, np.int64)
        self._value = np.full(tags, np.nan)
        self._quality = np.zeros(tags, np.uint8)
        self._expected: Mask = np.zeros(tags, np.bool_)
        self._expects = self._continues = False
        self._objects: Objects = {}

    def on_connected(self, *, resumed: bool = False) -> None:
        """Expect of each tag that what comes next is the last sample once more. resumed: the subscription was taken over."""
        self._expected[:] = self._expects = True
        self._continues = resumed

    def sort(self, block: SampleBlock) -> tuple[SampleBlock, SampleBlock | None]:
        """Return the new samples, and those that repeat the last ones, None for none."""
        rows = block.tag.astype(np.intp) - self._first_tag
        if not self._expects and not self._polled:
            self._record(block, rows)
            return block, None
        same = self._same(block, rows)
        first = self._first(rows) if self._expects else np.zeros(len(block), np.bool_)
        again = same & first
        confirmed = rows[first & (self._time[rows] > 0)] if self._continues else rows[again]
        if self._polled:
            again |= same & (block.quality >= USABLE_FROM)
            confirmed = rows[again]
        repeated = self._last(np.unique(confirmed)) if confirmed.size else None
        self._record(block, rows)
        return (_rows(block, ~again) if again.any() else block), repeated

    def _record(self, block: SampleBlock, rows: Rows) -> None:
        self._time[rows], self._value[rows], self._quality[rows] = block.time, block.value, block.quality

    def _same(self, block: SampleBlock, rows: Rows) -> Mask:
        value = self._value[rows]
        same: Mask = (block.value == value) | (np.isnan(block.value) & np.isnan(value))
        same &= (block.time == self._time[rows]) & (block.quality == self._quality[rows])
        return same

    def _first(self, rows: Rows) -> Mask:
        """Return which samples are the first ones of tags of which one is expected; from then on it is not."""
        first = np.zeros(rows.size, np.bool_)
        first[np.unique(rows, return_index=True)[1]] = True
        first &= self._expected[rows]
        self._expected[rows] = False
        return first

    def _last(self, rows: Rows) -> SampleBlock:
        tags = (rows + self._first_tag).astype(np.uint32)
        return SampleBlock(tags, self._time[rows], self._value[rows], self._quality[rows], repeated=True)

    def record_objects(self, block: ObjectBlock) -> None:
        """Record values that are no numbers. To repeat these does no harm, because they are published on change."""
        columns = (block.tag.tolist(), block.value, block.time.tolist(), block.quality.tolist())
        for tag, value, time, quality in zip(*columns, strict=True):
            self._objects[tag] = (value, time, quality)
            self._expected[tag - self._first_tag] = False

    def unsent(self, excluded: Collection[int]) -> tuple[SampleBlock | None, ObjectBlock | None]:
        """Return the last samples and objects of tags of which nothing came since `on_connected`; once.

        excluded: rows of tags whose last value is known to be void.
        """
        expected, self._expected = self._expected, np.zeros_like(self._expected)
        self._expects = False
        expected[list(excluded)] = False
        # Of a text and a bad sample of one tag the newer one counts; a large integer is both, at one time.
        newest = self._time.copy()
        for one, (_, time_ns, _) in self._objects.items():
            newest[one - self._first_tag] = max(newest[one - self._first_tag], time_ns)
        rows = np.flatnonzero(expected & (self._time > 0) & (self._time == newest))
        samples = self._last(rows) if rows.size else None
        held = [
            (tag, *known)
            for tag, known in self._objects.items()
            if expected[tag - self._first_tag] and known[1] == newest[tag - self._first_tag]
        ]
        if not held:
            return samples, None
        tag, value, time, quality = zip(*held, strict=True)
        return samples, ObjectBlock(np.array(tag, np.uint32), np.array(time, np.int64), value, np.array(quality, np.uint8))


def _rows(block: SampleBlock, wanted: Mask) -> SampleBlock:
    return SampleBlock(block.tag[wanted], block.time[wanted], block.value[wanted], block.quality[wanted])
