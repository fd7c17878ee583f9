"""What a server says again after a connection was lost, and what it need not say again. Pure."""

from collections.abc import Collection

import numpy as np

from gateway.core.blocks import Mask, ObjectBlock, Rows, SampleBlock
from gateway.core.quality import USABLE_FROM

Objects = dict[int, tuple[object, int, int]]


class ResumeFilter:
    """The last sample of each tag, by time, value and quality.

    A subscription that is taken over goes on: what has not changed meanwhile need not be said again, and some servers say it
    nevertheless. A new one begins with what holds. In both cases a first sample that is the last one once more counts
    nowhere (`SampleBlock.repeated`), and what is not said holds. What a subscription says that goes on is what came after
    the last sample, which is said again before it: so a late sample is not taken for the first thing a new one says.

    A node that is polled is said again at each poll: what has the same time, value and status is no new sample.
    """

    def __init__(self, first_tag: int, tags: int, *, polled: bool = False) -> None:
        """polled: every sample may be the last one once more."""
        self._first_tag = first_tag
        self._polled = polled
        self._time = np.zeros(tags, np.int64)
        self._value = np.full(tags, np.nan)
        self._quality = np.zeros(tags, np.uint8)
        self._expected: Mask = np.zeros(tags, np.bool_)
        self._expects = self._continues = False
        self._objects: Objects = {}

    def expect(self, *, continues: bool = False) -> None:
        """The connection was lost: what comes next of each tag may be the last sample once more. continues: the
        subscription was taken over."""
        self._expected[:] = self._expects = True
        self._continues = continues

    def sort(self, block: SampleBlock) -> tuple[SampleBlock, SampleBlock | None]:
        """New samples, and those that are the last ones once more."""
        rows = block.tag.astype(np.intp) - self._first_tag
        if not self._expects and not self._polled:
            self._note(block, rows)
            return block, None
        same = self._same(block, rows)
        first = self._first(rows) if self._expects else np.zeros(len(block), np.bool_)
        again = same & first
        said = rows[first & (self._time[rows] > 0)] if self._continues else rows[again]
        if self._polled:
            again |= same & (block.quality >= USABLE_FROM)
            said = rows[again]
        told = self._last(np.unique(said)) if said.size else None
        self._note(block, rows)
        return (_rows(block, ~again) if again.any() else block), told

    def _note(self, block: SampleBlock, rows: Rows) -> None:
        self._time[rows], self._value[rows], self._quality[rows] = block.time, block.value, block.quality

    def _same(self, block: SampleBlock, rows: Rows) -> Mask:
        value = self._value[rows]
        same: Mask = (block.value == value) | (np.isnan(block.value) & np.isnan(value))
        same &= (block.time == self._time[rows]) & (block.quality == self._quality[rows])
        return same

    def _first(self, rows: Rows) -> Mask:
        """The first samples of tags of which one is expected, which then is not any more."""
        first = np.zeros(rows.size, np.bool_)
        first[np.unique(rows, return_index=True)[1]] = True
        first &= self._expected[rows]
        self._expected[rows] = False
        return first

    def _last(self, rows: Rows) -> SampleBlock:
        tags = (rows + self._first_tag).astype(np.uint32)
        return SampleBlock(tags, self._time[rows], self._value[rows], self._quality[rows], repeated=True)

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
        samples = self._last(rows) if rows.size else None
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
