"""What a server says again after a connection was lost, and what it need not say again. Pure."""

from collections.abc import Collection
from dataclasses import replace

import numpy as np

from gateway.core.blocks import Mask, ObjectBlock, SampleBlock

Objects = dict[int, tuple[object, int, int]]


class Repeats:
    """The last sample of each tag, by time, value and quality.

    A subscription that is taken over goes on: what has not changed meanwhile need not be said again, and some servers say it
    nevertheless. A new one begins with what holds. In both cases a first sample that is the last one once more counts
    nowhere (`SampleBlock.repeated`), and what is not said holds.
    """

    def __init__(self, first_tag: int, tags: int) -> None:
        self._first_tag = first_tag
        self._time = np.zeros(tags, np.int64)
        self._value = np.full(tags, np.nan)
        self._quality = np.zeros(tags, np.uint8)
        self._expected: Mask = np.zeros(tags, np.bool_)
        self._expects = False
        self._objects: Objects = {}

    def expect(self) -> None:
        """The connection was lost: what comes next of each tag may be the last sample once more."""
        self._expected[:] = self._expects = True

    def sort(self, block: SampleBlock) -> tuple[SampleBlock, SampleBlock | None]:
        """New samples, and those that are the last ones once more."""
        rows = block.tag.astype(np.intp) - self._first_tag
        again = self._again(block, rows) if self._expects else None
        self._time[rows], self._value[rows], self._quality[rows] = block.time, block.value, block.quality
        if again is None or not again.any():
            return block, None
        return _rows(block, ~again), replace(_rows(block, again), repeated=True)

    def _again(self, block: SampleBlock, rows: np.ndarray[tuple[int], np.dtype[np.intp]]) -> Mask:
        is_first = np.zeros(len(block), np.bool_)
        is_first[np.unique(rows, return_index=True)[1]] = True
        value = self._value[rows]
        same: Mask = (block.value == value) | (np.isnan(block.value) & np.isnan(value))
        same &= (block.time == self._time[rows]) & (block.quality == self._quality[rows])
        same &= is_first & self._expected[rows]
        self._expected[rows] = False
        return same

    def remember(self, block: ObjectBlock) -> None:
        """Values that are no numbers. Of these a repetition does no harm: they are told on change."""
        columns = (block.tag.tolist(), block.value, block.time.tolist(), block.quality.tolist())
        for tag, value, time, quality in zip(*columns, strict=True):
            self._objects[tag] = (value, time, quality)
            self._expected[tag - self._first_tag] = False

    def unsaid(self, excluded: Collection[int]) -> tuple[SampleBlock | None, ObjectBlock | None]:
        """The last samples, and the last values that are no numbers, of tags of which nothing came since `expect`; once.
        excluded: rows of tags of which it is known that they hold no longer."""
        expected, self._expected = self._expected, np.zeros_like(self._expected)
        self._expects = False
        expected[list(excluded)] = False
        # Of a text and a bad sample of one tag the newer one holds; a large integer is both, at one time.
        newest = self._time.copy()
        for one, (_, told_ns, _) in self._objects.items():
            newest[one - self._first_tag] = max(newest[one - self._first_tag], told_ns)
        rows = np.flatnonzero(expected & (self._time > 0) & (self._time == newest))
        samples = None
        if rows.size:
            tags = (rows + self._first_tag).astype(np.uint32)
            samples = SampleBlock(tags, self._time[rows], self._value[rows], self._quality[rows], repeated=True)
        held = [
            (tag, *told)
            for tag, told in self._objects.items()
            if expected[tag - self._first_tag] and told[1] == newest[tag - self._first_tag]
        ]
        if not held:
            return samples, None
        tag, value, time, quality = zip(*held, strict=True)
        return samples, ObjectBlock(np.array(tag, np.uint32), np.array(time, np.int64), value, np.array(quality, np.uint8))


def _rows(block: SampleBlock, wanted: Mask) -> SampleBlock:
    return SampleBlock(block.tag[wanted], block.time[wanted], block.value[wanted], block.quality[wanted])
