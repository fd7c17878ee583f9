"""Tumbling windows on whole multiples of their length in wall time."""

from collections import deque
from dataclasses import replace

import numpy as np

from gateway.core.blocks import Mask, Rows, SampleBlock, TagIds, Times, WindowBlock
from gateway.core.quality import USABLE_FROM, Quality
from gateway.core.tag_move import TagMove
from gateway.stages.kept_spans import KeptSpans
from gateway.stages.sample_blocks import in_time_order, joined, rows_of, runs_of, slice_of
from gateway.stages.statistics import LastValue, Statistics, of_samples

FOLD_AT = 1 << 18
_DENSE_WINDOWS = 8
_SUPPLEMENTS_AT_ONCE = 500


class Windows:
    """The windows of all tags: samples in, one `WindowBlock` with a row for every tag out; late samples as supplements.

    Blocks are only collected when they come and folded into statistics when a window closes or 262,144 samples wait, so
    the cost per sample does not depend on the size of the blocks, and memory is bounded by tags and not by rates. All times
    are wall time in ns. The first block of a window is the only one that is not late; merging it with all late ones gives
    the statistics of all samples. (Only a clock that steps back by more than eight windows makes the same times begin anew.)
    """

    def __init__(
        self,
        tags: int,
        length_ns: int,
        grace_ns: int,
        stale_ns: Times,
        now_ns: int,
        *,
        fold_at: int = FOLD_AT,
        kept: KeptSpans | None = None,
    ) -> None:
        """Begin at `now_ns` without any value.

        stale_ns: int64[tags], the age from which a value in force is stale; 0 for never (the device decides when it sends).
        fold_at: samples that may wait. kept: is given every window that closes, and all that comes late.
        """
        self._tags = tags
        self._length = length_ns
        self._grace = grace_ns
        self._stale = stale_ns
        self._fold_at = fold_at
        self._kept = kept
        self._at_once = min(_SUPPLEMENTS_AT_ONCE, kept.at_once) if kept else _SUPPLEMENTS_AT_ONCE
        self._in_force = LastValue.unknown(tags)
        self._confirmed = np.zeros(tags, np.int64)
        self._open: dict[int, Statistics] = {}
        self.partly_published: set[int] = set()  # starts of windows of which a flush has published what there was
        self._late_parts: deque[tuple[SampleBlock, int, bool]] = deque()
        self._waiting: list[SampleBlock] = []
        self._samples = 0
        self._newest = 0
        self._marked = -1
        self._started_ns = now_ns
        self._unpublished = LastValue.unknown(tags)
        self._start = self._floor(now_ns)

    def _floor(self, time_ns: int) -> int:
        return time_ns - time_ns % self._length

    @property
    def next_close_ns(self) -> int:
        """Return when the oldest open window is due to close, wall time in ns."""
        return self._start + self._length + self._grace

    def push(self, block: SampleBlock, now_ns: int) -> None:
        """Add samples as they come."""
        if block.repeated:
            self._confirm(block, now_ns)
            return
        if block.history:
            block = self._supplement_past(block)
        self._waiting.append(block)
        self._samples += len(block)
        self._newest = max(self._newest, self._floor(now_ns))
        if self._samples >= self._fold_at:
            self.fold()

    def _supplement_past(self, block: SampleBlock) -> SampleBlock:
        """Turn what a device remembers of closed windows into supplements of their own, and return the rest.

        Such samples do not change the value in force.
        """
        block = in_time_order(block)
        closed = block.time < self._start
        self._supplement_with(rows_of(block, closed), past=True)
        return rows_of(block, ~closed)

    def mark(self, tags: TagIds, quality: int, now_ns: int) -> None:
        """Make tags unknown from now on, for the reason in `quality` (a bad code), until their next sample."""
        self.fold()
        newest = max(self._start, self._floor(now_ns), *self._open)
        self._statistics(newest).mark(tags, quality)
        self._marked = max(self._marked, newest)

    def _confirm(self, block: SampleBlock, now_ns: int) -> None:
        """Confirm the last samples: what `mark` has made unknown is known again, and nothing is counted."""
        tag, time, held = block.tag, block.time, self._in_force
        if self._marked < self._start and (held.quality[tag] >= USABLE_FROM).all():  # they never were unknown: a poll
            self._confirmed[tag] = np.maximum(self._confirmed[tag], self._floor(now_ns))
            return
        self.fold()
        closed = (time < self._start) & (time >= held.time[tag])
        held.set(tag[closed], block.value[closed], time[closed], block.quality[closed])
        for start, statistics in self._open.items():
            statistics.unmark(tag[time < start])
            here = (time >= start) & (time < start + self._length)
            statistics.confirm(tag[here], time[here], block.quality[here])
        self._confirmed[tag] = np.maximum(self._confirmed[tag], self._floor(now_ns))

    def close(self, now_ns: int) -> list[WindowBlock]:
        """Close every window whose grace is over, and return them, oldest first, then at most 500 supplements.

        Further supplements wait for the next call. After a stall only windows with samples are returned.
        """
        self.fold()
        blocks = []
        if now_ns - self.next_close_ns > _DENSE_WINDOWS * self._length:
            oldest_not_due = self._floor(now_ns - self._grace)
            blocks += [block for start in sorted(self._open) if start < oldest_not_due for block in self._emit(start)]
            self._start = oldest_not_due
        while self.next_close_ns <= now_ns:
            blocks += self._emit(self._start)
            self._start += self._length
        return blocks + self._supplements(self._at_once)

    def flush(self, now_ns: int) -> list[WindowBlock]:
        """Close everything at once, the window in progress too, and go on at `now_ns`: at a stop or a step of the clock."""
        self.fold()
        begun = sorted(self._open)
        blocks = [block for start in begun for block in self._emit(start)]
        self._supplement_replaced(self._unpublished.time > 0)
        blocks += self._supplements()
        closed, self._start, self._marked = self._start, self._floor(now_ns), -1
        if closed - self._start <= _DENSE_WINDOWS * self._length:
            begun += range(self._start, closed, self._length)
        self.partly_published = {start for start in (*begun, *self.partly_published) if start >= self._start}
        # After a step back nothing in force may seem to come from the future.
        self._in_force.time = np.minimum(self._in_force.time, now_ns)
        self._confirmed = np.minimum(self._confirmed, now_ns)
        return blocks

    def retire(self, tags: TagIds) -> list[WindowBlock]:
        """Return what is known of tags that end, their open windows and supplements, as far as there are samples."""
        self.fold()
        ends = np.zeros(self._tags, np.bool_)
        ends[tags] = True
        self._supplement_replaced((self._unpublished.time > 0) & ends)
        blocks = [
            ended
            for start, statistics in sorted(self._open.items())
            for ended in statistics.ended(tags, start, self._length, start in self.partly_published)
        ]
        for part, start, past in self._late_parts:
            own = rows_of(part, ends[part.tag])
            blocks += [self._supplement(own, start, past)] if len(own) else []
        return blocks

    def take_over(self, other: "Windows", move: TagMove) -> None:
        """Go on with the tags of other windows that stay; the others begin without any value. Both are of one length."""
        other.fold()
        self._start, self._newest, self._marked = other._start, other._newest, other._marked
        self._started_ns = other._started_ns
        self.partly_published = other.partly_published
        self._in_force, self._unpublished = other._in_force.moved(move), other._unpublished.moved(move)
        self._confirmed = move.moved(other._confirmed, 0)
        self._open = {start: statistics.moved(move) for start, statistics in other._open.items()}
        moved = [(move.samples(part), start, past) for part, start, past in other._late_parts]
        self._late_parts = deque(one for one in moved if len(one[0]))

    def _supplements(self, most: int | None = None) -> list[WindowBlock]:
        """Return the oldest supplements that wait, at most so many.

        A server's history comes in hours, and the event loop must not be blocked by it.
        """
        count = len(self._late_parts) if most is None else min(most, len(self._late_parts))
        return [self._supplement(*self._late_parts.popleft()) for _ in range(count)]

    def _emit(self, start: int) -> list[WindowBlock]:
        """Return the block of a window; of one that a flush has published already, only what came since."""
        statistics = self._open.pop(start, None) or Statistics(self._tags)
        self._in_force.advance(statistics)
        held, end = self._in_force, start + self._length
        age = end - np.maximum(held.time, self._confirmed)
        stale = (self._stale > 0) & (age > self._stale) & (held.quality >= USABLE_FROM)
        quality = np.where(stale, np.uint8(Quality.BAD_STALE), held.quality)
        late = start in self.partly_published
        self.partly_published.discard(start)
        block = statistics.window(start, self._length, late, LastValue(held.value, held.time, quality))
        if self._kept is not None:
            self._kept.close(statistics, block)
        if not late:
            self._supplement_replaced(
                (self._unpublished.time > 0) & ((block.count > 0) | (block.last_time != self._unpublished.time))
            )
            self._unpublished.time[:] = 0
            return [block]
        block = block.take(block.count > 0)
        return [block] if len(block) else []

    def _publish_in_force(self, block: SampleBlock) -> None:
        """Let the next window publish these values as the ones in force."""
        if len(block):
            self._supplement_replaced(np.isin(np.arange(self._tags), block.tag) & (self._unpublished.time > 0))
            self._unpublished.set(block.tag, block.value, block.time, block.quality)

    def _supplement_replaced(self, tags: Mask) -> None:
        """Turn values that were replaced before a window published them as the ones in force into late samples."""
        tag = np.flatnonzero(tags)
        if tag.size:
            unpublished = self._unpublished
            block = SampleBlock(
                tag.astype(np.uint32), unpublished.time[tag], unpublished.value[tag], unpublished.quality[tag]
            )
            self._supplement_with(in_time_order(block), past=False)
            unpublished.time[tag] = 0

    def fold(self) -> None:
        """Move the waiting samples into the statistics of their windows; called by itself wherever it is due."""
        if not self._samples:
            return
        block = in_time_order(joined(self._waiting))
        newest, self._newest = self._newest, 0
        self._waiting, self._samples = [], 0
        oldest = max(self._start, self._floor(newest - _DENSE_WINDOWS * self._length - self._grace))
        start = block.time - block.time % self._length
        if start[0] < oldest or start[-1] > newest:
            dense = (start >= oldest) & (start <= newest)
            self._add_out_of_window(rows_of(block, ~dense), newest)
            block, start = rows_of(block, dense), start[dense]
        for one, begin, end in runs_of(start):
            part = slice_of(block, begin, end)
            self._statistics(one).merge(of_samples(part, self._tags))
            if one < self._marked:
                # A sample that comes after `mark` makes the tag known again, even if it is older.
                for later in [statistics for after, statistics in self._open.items() if after > one]:
                    later.unmark(part.tag)

    def _statistics(self, start: int) -> Statistics:
        statistics = self._open.get(start)
        if statistics is None:
            statistics = self._open[start] = Statistics(self._tags)
        return statistics

    def _add_out_of_window(self, block: SampleBlock, newest: int) -> None:
        """Publish samples outside the open windows as supplements, but for those that only give the value in force.

        A new subscription first reports the value in force with the time of its last change, often
        long ago; a polled server repeats it with each read. That is no late sample: it becomes the value in force and is
        published with its own time. Other samples that come with it are later changes, and count. A late bad sample of a
        tag that is unknown anyway does not count either.
        """
        tag, held = block.tag, self._in_force
        is_newest = np.zeros(len(block), np.bool_)
        _, first_from_end = np.unique(tag[::-1], return_index=True)
        is_newest[len(block) - 1 - first_from_end] = True
        unknown = held.quality_after(*(self._open[start] for start in sorted(self._open)))[tag] < USABLE_FROM
        repeated = held.is_repeated_by(block)
        never_seen = block.time > np.maximum(held.time[tag], self._started_ns - 1)
        newer = is_newest & (unknown | (block.time >= held.time[tag]))
        held.set(tag[newer], block.value[newer], block.time[newer], block.quality[newer])
        usable = block.quality >= USABLE_FROM
        in_force = held.is_repeated_by(block) & usable
        has_changed = np.isin(tag, tag[usable & ~in_force])
        in_force[_firsts(tag, in_force & has_changed)] = False
        only_confirms = (repeated | (unknown & (in_force | ~usable))) & (block.time < self._start)
        self._publish_in_force(rows_of(block, only_confirms & unknown & in_force & is_newest & never_seen & ~repeated))
        for statistics in self._open.values():
            statistics.unmark(tag[only_confirms & unknown], always=True)
        self._confirmed[tag[only_confirms]] = newest
        self._supplement_with(rows_of(block, ~only_confirms), past=False)

    def _supplement_with(self, late: SampleBlock, *, past: bool) -> None:
        start = late.time - late.time % self._length
        for one, begin, end in runs_of(start):
            self._late_parts.append((slice_of(late, begin, end), one, past))

    def _supplement(self, part: SampleBlock, start: int, past: bool) -> WindowBlock:
        tags, compact = np.unique(part.tag, return_inverse=True)
        statistics = Statistics(tags.size)
        small = SampleBlock(compact.astype(np.uint32), part.time, part.value, part.quality)
        statistics.merge(of_samples(small, tags.size))
        if self._kept is not None:
            self._kept.add(start, tags, statistics)
        window = statistics.window(start, self._length, True, LastValue.unknown(tags.size))
        return replace(window, tag=tags, past=past)


def _firsts(tag: TagIds, among: Mask) -> Rows:
    """Return the places of the first sample of each tag among those wanted."""
    places = np.flatnonzero(among)
    return places[np.unique(tag[places], return_index=True)[1]]
