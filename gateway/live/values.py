"""The present value of every tag, as columns."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gateway.core.blocks import ObjectBlock, Qualities, Rows, SampleBlock, TagIds, Times, Values, WindowBlock
from gateway.core.quality import REASONS, USABLE_FROM, Quality
from gateway.core.tag_move import TagMove

MOST_WAITING_ROWS: Final = 1 << 16
MOST_WAITING_BLOCKS: Final = 256


@dataclass(frozen=True, slots=True, eq=False)
class TagValues:
    """Present values of some tags, as columns of equal length that belong to the caller."""

    version: int
    """Of the model when this was read: `values_since(version)` returns what has changed after it."""
    tag: TagIds
    """uint32[n], row numbers in the `TagTable`, ascending."""
    time: Times
    """int64[n], ns since the epoch, UTC: when the value was read; 0 for never."""
    value: Values
    """float64[n], NaN where the quality is bad, and for values that are no numbers."""
    quality: Qualities
    """uint8[n], `Quality` codes."""
    objects: Mapping[int, Any]
    """Values that float64 cannot carry, by tag: text, arrays, structures, large integers."""

    def __len__(self) -> int:
        return self.tag.size

    @property
    def reasons(self) -> list[str]:
        """Return the published `reason` of each row."""
        return [REASONS[code] for code in self.quality.tolist()]


class LiveValues:
    """The last sample of every tag.

    Blocks are only kept when they come, the newest of those with the same column of tags, and written to the columns when
    somebody asks, a window closes, or 65,536 rows wait: so a sample costs next to nothing while nobody looks.
    """

    def __init__(self, tags: int, next_version: Callable[[], int]) -> None:
        """Begin with every tag waiting for its first sample. next_version: raises the model's version, and returns it."""
        self._next = next_version
        self._begin(tags)
        self._objects: dict[int, Any] = {}
        self._waiting: dict[int, SampleBlock] = {}
        self._waiting_rows = 0
        self.samples = 0
        self.past_samples = 0

    def _begin(self, tags: int) -> None:
        self._value = np.full(tags, np.nan)
        self._time = np.zeros(tags, np.int64)
        self._quality = np.full(tags, Quality.BAD_WAITING, np.uint8)
        self._is_object = np.zeros(tags, np.bool_)
        self._changed = np.zeros(tags, np.int64)

    def push(self, block: SampleBlock) -> None:
        """Take samples: the last one of each tag is its present value. Those of the past and repeated ones are older."""
        if block.history:
            self.past_samples += len(block)
            return
        if block.repeated:
            self._confirm(block)
            return
        self.samples += len(block)
        key = id(block.tag)  # kept below with its block, so that no other array gets this number
        before = self._waiting.pop(key, None)
        self._waiting[key] = block
        if before is None:
            self._waiting_rows += len(block)
            if self._waiting_rows >= MOST_WAITING_ROWS or len(self._waiting) >= MOST_WAITING_BLOCKS:
                self.fold()

    def fold(self) -> None:
        """Write what waits to the columns."""
        if not self._waiting:
            return
        blocks = [block for block in self._waiting.values() if len(block)]
        self._waiting = {}
        self._waiting_rows = 0
        if not blocks:
            return
        rows = np.concatenate([block.tag for block in blocks]).astype(np.intp)
        time = np.concatenate([block.time for block in blocks])
        value = np.concatenate([block.value for block in blocks])
        quality = np.concatenate([block.quality for block in blocks])
        if self._objects:
            keep = ~self._is_exact_twin(rows, time, quality)
            rows, time, value, quality = rows[keep], time[keep], value[keep], quality[keep]
            self._forget_objects(rows)
        self._write(rows, time, value, quality)

    def _write(self, rows: Rows, time: Times, value: Values, quality: Qualities) -> None:
        """Write samples; of several of one tag the last one stays."""
        self._time[rows], self._value[rows], self._quality[rows] = time, value, quality
        self._changed[rows] = self._next()

    def _is_exact_twin(self, rows: Rows, time: Times, quality: Qualities) -> NDArray[np.bool_]:
        """Return which samples are the rounded twin of an object of the same reading."""
        same = self._is_object[rows] & (time == self._time[rows]) & (quality >= USABLE_FROM)
        return np.asarray(same, np.bool_)

    def _forget_objects(self, rows: Rows) -> None:
        held = rows[self._is_object[rows]]
        self._is_object[held] = False
        for tag in set(held.tolist()):
            self._objects.pop(tag, None)

    def _confirm(self, block: SampleBlock) -> None:
        """Take the last samples once more: what was unknown meanwhile is known again, unless something newer has come."""
        self.fold()
        rows = block.tag.astype(np.intp)
        news = (block.time >= self._time[rows]) & ~self._is_object[rows]
        if news.any():
            self._write(rows[news], block.time[news], block.value[news], block.quality[news])

    def push_objects(self, block: ObjectBlock) -> None:
        """Take values that are no numbers, but for those of the past."""
        if block.history:
            self.past_samples += len(block)
            return
        if not len(block):
            return
        self.samples += len(block)
        self.fold()
        rows = block.tag.astype(np.intp)
        self._write(rows, block.time, np.full(rows.size, np.nan), block.quality)
        for tag, value, is_usable in zip(rows.tolist(), block.value, (block.quality >= USABLE_FROM).tolist(), strict=True):
            self._is_object[tag] = is_usable
            if is_usable:
                self._objects[tag] = value
            else:
                self._objects.pop(tag, None)

    def mark(self, tags: TagIds, quality: int) -> None:
        """Make tags unknown; the time of their last reading stays."""
        self.fold()
        rows = tags.astype(np.intp)
        self._forget_objects(rows)
        self._write(rows, self._time[rows], np.full(rows.size, np.nan), np.full(rows.size, quality, np.uint8))

    def window(self, block: WindowBlock) -> None:
        """Take from a closed window which tags have become stale, or are known again without a new sample."""
        if block.late or block.past or np.count_nonzero(block.count) == len(block):
            return
        self.fold()
        rows = block.tag.astype(np.intp)
        news = (block.count == 0) & (block.quality != self._quality[rows])
        if not np.count_nonzero(news):
            return
        news &= (self._time[rows] < block.start + block.length) & ~self._is_object[rows]
        rows = rows[news]
        if rows.size:
            value = np.where(block.quality[news] >= USABLE_FROM, block.last[news], np.nan)
            self._write(rows, self._time[rows], value, block.quality[news])

    def read(self, tags: TagIds | None, version: Callable[[], int]) -> TagValues:
        """Return the present values of the tags, of all tags for None."""
        self.fold()
        rows = np.arange(self._time.size) if tags is None else tags.astype(np.intp)
        return self._rows(rows, version())

    def changed_since(self, since: int, version: Callable[[], int]) -> TagValues:
        """Return the present values of the tags that have changed after the version `since`."""
        self.fold()
        return self._rows(np.flatnonzero(self._changed > since), version())

    def _rows(self, rows: Rows, version: int) -> TagValues:
        chosen = rows[self._is_object[rows]].tolist() if self._objects else []
        return TagValues(
            version,
            rows.astype(np.uint32),
            self._time[rows],
            self._value[rows],
            self._quality[rows],
            {tag: self._objects[tag] for tag in chosen},
        )

    def take_over(self, move: TagMove) -> None:
        """Take another table: tags that stay keep their values, all count as changed."""
        self.fold()
        self._value, self._time = move.moved(self._value, np.nan), move.moved(self._time, 0)
        self._quality = move.moved(self._quality, Quality.BAD_WAITING)
        self._is_object = move.moved(self._is_object, False)
        place = move.place
        self._objects = {int(place[tag]): value for tag, value in self._objects.items() if place[tag] >= 0}
        self._changed = np.full(move.size, self._next(), np.int64)
