"""Values that are no numbers: told when they change, when their quality changes, and again after `max_silence`."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gateway.core.blocks import Mask, ObjectBlock, TagIds, Times


@dataclass(slots=True)
class _Told:
    value: Any
    time: int
    quality: int
    at: int


class Objects:
    """Report by exception for objects. They are few and change seldom, so this is plain Python over rows.

    without_number: bool[tags], those that have shown text or a structure; their windows hold no number worth sending.
    """

    def __init__(self, max_silence_ns: Times) -> None:
        """max_silence_ns: int64[tags]."""
        self._max_silence = max_silence_ns.tolist()
        self._told: dict[int, _Told] = {}
        self.without_number: Mask = np.zeros(max_silence_ns.size, np.bool_)

    def changed(self, block: ObjectBlock, now_ns: int) -> ObjectBlock:
        """The rows that say something new, in order. 1, 1.0 and True differ. Of the past: new within the block, whatever
        holds now, which stays as it is."""
        if block.history:
            now, self._told = self._told, {}
            try:
                return replace(self.changed(replace(block, history=False), now_ns), history=True)
            finally:
                self._told = now
        rows = []
        for row, (tag, time, value, quality) in enumerate(_rows(block)):
            if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
                self.without_number[tag] = True
            before = self._told.get(tag)
            if before is None or before.quality != quality or not _same(before.value, value):
                self._told[tag] = _Told(value, time, quality, now_ns)
                rows.append(row)
            elif time > before.time:
                before.time = time
        return block.take(rows)

    def mark(self, tags: TagIds, quality: int, now_ns: int) -> ObjectBlock:
        """The tags are unknown from now on: a row for each that was told with another quality."""
        known = [tag for tag in tags.tolist() if (told := self._told.get(tag)) and told.quality != quality]
        for tag in known:
            self._told[tag] = _Told(None, now_ns, quality, now_ns)
        return self._block(known)

    def due(self, now_ns: int) -> ObjectBlock:
        """What has not been said for `max_silence`, once more, with the time at which it was last read."""
        # A clock that stepped back leaves the age unknown, so it is over.
        silent = [tag for tag, told in self._told.items() if not 0 <= now_ns - told.at < self._max_silence[tag]]
        for tag in silent:
            self._told[tag].at = now_ns
        return self._block(silent)

    def _block(self, tags: list[int]) -> ObjectBlock:
        told = [self._told[tag] for tag in tags]
        return ObjectBlock(
            np.array(tags, np.uint32),
            np.array([t.time for t in told], np.int64),
            [t.value for t in told],
            np.array([t.quality for t in told], np.uint8),
        )


def _rows(block: ObjectBlock) -> Iterator[tuple[int, int, Any, int]]:
    return zip(block.tag.tolist(), block.time.tolist(), block.value, block.quality.tolist(), strict=True)


def _same(a: Any, b: Any) -> bool:
    return type(a) is type(b) and bool(a == b)
