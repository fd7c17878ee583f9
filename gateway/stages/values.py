"""Values that are no numbers: published when they or their quality change, and again after `max_silence`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gateway.core.blocks import Mask, ObjectBlock, SampleBlock, TagIds, Times
from gateway.core.quality import USABLE_FROM
from gateway.core.tag_move import TagMove


@dataclass(slots=True)
class _Published:
    value: Any
    time: int
    quality: int
    at: int


class ObjectValues:
    """Report by exception for objects. They are few and change seldom, so this is plain Python over rows.

    A tag of which an object was published and that then has a sample without one (its text is bad now, its large integer is
    small) is published once more, as what it is now: else the last object would be repeated as if it were valid. The object
    that belongs to a sample may come up to a window's length later.

    Attributes:
        without_number: bool[tags], those that had text, a structure or nothing; their windows have no number to send.
    """

    def __init__(self, max_silence_ns: Times) -> None:
        """Begin with nothing published. max_silence_ns: int64[tags]."""
        self._max_silence = max_silence_ns.tolist()
        self._published: dict[int, _Published] = {}
        tags = max_silence_ns.size
        self._is_published = np.zeros(tags, np.bool_)
        self._object, self._sample, self._previous_sample = _Newest(tags), _Newest(tags), _Newest(tags)
        self._turn = 0
        self._integers: set[int] = set()
        self.without_number: Mask = np.zeros(max_silence_ns.size, np.bool_)

    def take_over(self, other: "ObjectValues", move: TagMove) -> None:
        """Go on with what another one has published of the tags that stay."""
        place = move.place
        self._published = {int(place[tag]): one for tag, one in other._published.items() if place[tag] >= 0}
        self._integers = {int(place[tag]) for tag in other._integers if place[tag] >= 0}
        self._is_published = move.moved(other._is_published, False)
        self.without_number = move.moved(other.without_number, False)
        for mine, theirs in (
            (self._object, other._object),
            (self._sample, other._sample),
            (self._previous_sample, other._previous_sample),
        ):
            mine.columns = move.moved(theirs.columns, _Newest(1).columns[0])
        self._turn = other._turn

    def changed(self, block: ObjectBlock, now_ns: int) -> ObjectBlock:
        """Return the rows with a new value or quality, in order. 1, 1.0 and True differ.

        Rows of the past are compared within the block, and leave the present values as they are.
        """
        if block.history:
            return self._changes(block, {}, now_ns)
        self._turn += 1
        self._is_published[block.tag] = True
        self._object.record(block, self._turn)
        return self._changes(block, self._published, now_ns)

    def _changes(self, block: ObjectBlock, published: dict[int, _Published], now_ns: int) -> ObjectBlock:
        rows = []
        for row, (tag, time, value, quality) in enumerate(_rows(block)):
            no_number = isinstance(value, bool) or not isinstance(value, int | float)
            if no_number and quality >= USABLE_FROM:
                self.without_number[tag] = True
            if type(value) is int:
                self._integers.add(tag)
            before = published.get(tag)
            if before is None or before.quality != quality or not _same(before.value, value):
                published[tag] = _Published(value, time, quality, now_ns)
                rows.append(row)
            elif time > before.time:
                before.time = time
        return block.take(rows)

    def record_samples(self, block: SampleBlock) -> None:
        """Record the samples of tags with objects: they may have no object any more."""
        if not self._published or block.history:
            return
        rows = self._is_published[block.tag]
        if rows.any():
            self._turn += 1
            self._sample.record(block, self._turn, rows)

    def replaced_by_samples(self, now_ns: int) -> ObjectBlock:
        """Return the tags whose last reading was a sample without object, as what it was; called once a window."""
        if not self._published:
            return _block([], [])
        tags = np.flatnonzero(self._is_published & self._previous_sample.is_newer_than(self._object)).tolist()
        rows = [self._previous_sample.row(tag) for tag in tags]
        np.copyto(self._previous_sample.columns, self._sample.columns)
        for tag, row in zip(tags, rows, strict=True):
            if tag in self._integers and row.value is not None and row.value.is_integer():
                row.value = int(row.value)
        return self.changed(_block(tags, rows), now_ns)

    def mark(self, tags: TagIds, quality: int, now_ns: int) -> ObjectBlock:
        """Make the tags unknown from now on, and return a row for each that was published with another quality."""
        known = [tag for tag in tags.tolist() if (before := self._published.get(tag)) and before.quality != quality]
        for tag in known:
            self._published[tag] = _Published(None, now_ns, quality, now_ns)
        marked = self._block(known)
        self._turn += 1
        self._object.record(marked, self._turn)
        return marked

    def due(self, now_ns: int) -> ObjectBlock:
        """Return what has not been published for `max_silence`, with the time at which it was last read."""
        # A step back of the clock leaves the age unknown, so it counts as too old.
        silent = [tag for tag, before in self._published.items() if not 0 <= now_ns - before.at < self._max_silence[tag]]
        for tag in silent:
            self._published[tag].at = now_ns
        return self._block(silent)

    def _block(self, tags: list[int]) -> ObjectBlock:
        return _block(tags, [self._published[tag] for tag in tags])


@dataclass(slots=True)
class _Row:
    value: Any
    time: int
    quality: int


class _Newest:
    """The newest sample or object of each tag as columns: when it was read, in which turn it came, what it was."""

    def __init__(self, tags: int) -> None:
        self.columns = np.zeros(tags, [("time", "i8"), ("turn", "i8"), ("value", "f8"), ("quality", "u1")])

    def record(self, block: SampleBlock | ObjectBlock, turn: int, rows: Mask | None = None) -> None:
        """Record the chosen rows of a block, but for those that are older than what is known."""
        chosen = np.ones(len(block), np.bool_) if rows is None else rows
        chosen = chosen & (block.time >= self.columns["time"][block.tag])
        tag = block.tag[chosen]
        self.columns["time"][tag] = block.time[chosen]
        self.columns["turn"][tag] = turn
        self.columns["quality"][tag] = block.quality[chosen]
        if isinstance(block, SampleBlock):
            self.columns["value"][tag] = block.value[chosen]

    def is_newer_than(self, objects: "_Newest") -> Mask:
        """Return which samples replace the objects: read later, or bad ones that came later about the same time."""
        mine, theirs = self.columns, objects.columns
        bad = mine["quality"] < USABLE_FROM
        later: Mask = mine["time"] > theirs["time"]
        newer: Mask = later | (bad & (mine["time"] == theirs["time"]) & (mine["turn"] > theirs["turn"]))
        return newer

    def row(self, tag: int) -> _Row:
        """Return the newest sample of one tag."""
        time, _, value, quality = self.columns[tag].tolist()
        return _Row(value if quality >= USABLE_FROM else None, time, quality)


def _block(tags: list[int], rows: Sequence[_Row | _Published]) -> ObjectBlock:
    return ObjectBlock(
        np.array(tags, np.uint32),
        np.array([row.time for row in rows], np.int64),
        [row.value for row in rows],
        np.array([row.quality for row in rows], np.uint8),
    )


def _rows(block: ObjectBlock) -> Iterator[tuple[int, int, Any, int]]:
    return zip(block.tag.tolist(), block.time.tolist(), block.value, block.quality.tolist(), strict=True)


def _same(a: Any, b: Any) -> bool:
    return type(a) is type(b) and bool(a == b)
