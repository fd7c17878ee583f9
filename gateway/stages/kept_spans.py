"""What closed windows and summaries were made of, for as long as late samples may replace them."""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from gateway.core.blocks import Mask, TagIds, WindowBlock
from gateway.core.tag_move import TagMove
from gateway.core.tags import TagTable
from gateway.stages.statistics import LastValue, Statistics

MOST_ROWS: Final = 250_000
"""Rows (spans times tags) that are kept at most, about 120 bytes each."""

_ROWS_AT_ONCE: Final = 100_000


@dataclass(slots=True, eq=False)
class _Span:
    statistics: Statistics
    held: LastValue
    """What was in force where the span has no samples."""
    sent: Mask
    """bool[tags], the rows that were published."""
    known: Mask
    """bool[tags], the tags whose devices have had no other messages about this span."""
    is_shared: bool = True
    """The columns are those of a block that was handed on, so they are copied before anything is added."""
    is_again: bool = False
    """It was published before, and the clock was set back."""


class KeptSpans:
    """Closed spans of one length, each kept until later ones end `keep_ns` after it, and as far as `MOST_ROWS` reach.

    What comes late is added to the span. `published` turns late rows into the whole span again where it is still kept: all
    rows of their devices that were published, over all samples. Where it is not, they stay a supplement.
    """

    def __init__(self, table: TagTable, keep_ns: int, *, most_rows: int = MOST_ROWS) -> None:
        """Begin without any span."""
        self._tags = len(table)
        self._keep = keep_ns
        self._most = most_rows // max(1, self._tags)
        self._ranges = [table.range_of(device) for device in range(len(table.devices))]
        self._device = np.array([tag.device for tag in table.tags], np.intp)
        self._spans: dict[int, _Span] = {}
        self.at_once = max(1, _ROWS_AT_ONCE // max(1, self._tags))
        """Supplements that may be worked on without holding up everything else."""

    def close(self, statistics: Statistics, block: WindowBlock) -> None:
        """Keep a span that was closed and made into `block`, with a row for every tag; or add it, where that is late."""
        if block.late:
            self.add(block.start, np.arange(self._tags, dtype=np.uint32), statistics)
            return
        before = self._spans.pop(block.start, None)
        everything = np.ones(self._tags, np.bool_)
        held = LastValue(block.last, block.last_time, block.quality)
        span = self._spans[block.start] = _Span(statistics, held, np.zeros(self._tags, np.bool_), everything)
        if before is not None:
            self.add(block.start, np.arange(self._tags, dtype=np.uint32), before.statistics)
            span.sent, span.known, span.is_again = before.sent, before.known, True
        self._forget_old(block)

    def _forget_old(self, newest: WindowBlock) -> None:
        while self._spans:
            oldest = next(iter(self._spans))
            if len(self._spans) <= self._most and newest.start - oldest <= self._keep:
                return
            del self._spans[oldest]

    def forget(self, start: int) -> None:
        """Forget a span of which something was published that is not known here."""
        self._spans.pop(start, None)

    def add(self, start: int, tags: TagIds, late: Statistics) -> None:
        """Add the statistics of late samples, a row for each of the tags, where the span is kept."""
        span = self._spans.get(start)
        if span is None:
            return
        if span.is_shared:
            span.statistics, span.is_shared = span.statistics.of_rows(np.arange(self._tags)), False
        rows = tags.astype(np.intp)
        span.statistics.merge(late, rows)
        span.statistics.gap[rows] |= late.gap

    def published(self, block: WindowBlock) -> WindowBlock:
        """Return what is published of a span: `block` itself, or the whole of it again where it replaces what was sent."""
        span = self._spans.get(block.start)
        if span is None or not len(block) or not span.known[block.tag].all():
            return block
        span.sent[block.tag] = True
        if not (block.late or span.is_again):
            return block
        rows = np.concatenate([
            first + np.flatnonzero(span.sent[first:end])
            for first, end in (self._ranges[device] for device in np.unique(self._device[block.tag]).tolist())
        ])  # fmt: skip
        held = LastValue(span.held.value[rows], span.held.time[rows], span.held.quality[rows])
        whole = span.statistics.of_rows(rows).window(block.start, block.length, True, held)
        return replace(whole, tag=rows.astype(np.uint32), past=block.past, replaces=True)

    def take_over(self, other: "KeptSpans", move: TagMove) -> None:
        """Go on with the tags of other spans that stay. What comes late for the others is a supplement."""
        for start, span in other._spans.items():
            sent, known = move.moved(span.sent, False), move.moved(span.known, False)
            moved = span.statistics.moved(move), span.held.moved(move)
            self._spans[start] = _Span(*moved, sent, known, is_shared=False, is_again=span.is_again)
