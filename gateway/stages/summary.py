"""One-minute summaries: windows merged exactly, before anything is filtered."""

from dataclasses import replace

from gateway.core.blocks import Mask, TagIds, WindowBlock
from gateway.core.quality import USABLE_FROM, Quality
from gateway.core.tag_move import TagMove
from gateway.stages.kept_spans import KeptSpans
from gateway.stages.statistics import LastValue, Statistics, of_window


class Summary:
    """The summaries of all tags: windows in, one block with a row for every tag out per `length_ns` of wall time.

    As with windows, only the first block of a span is not late: after a flush the rest of the span is a supplement.
    """

    def __init__(self, tags: int, length_ns: int, kept: KeptSpans | None = None) -> None:
        """Begin without any. kept: is given every summary that ends, and all that comes late."""
        self._kept = kept
        self._tags = tags
        self._length = length_ns
        self._start: int | None = None
        self._begun: int | None = None
        self._statistics = Statistics(tags)
        self._late_start: int | None = None
        self._late_past = False
        self._late = self._statistics
        self._held = LastValue.unknown(tags)
        self._young: Mask | None = None

    def add(self, window: WindowBlock) -> list[WindowBlock]:
        """Add a window, and return the summaries that it completes.

        Late windows of one span that come in a row make one supplement: see `pop_supplement`.
        """
        start = window.start - window.start % self._length
        if window.late or window.start < (self._start or 0):
            return self._add_late(window, start)
        done = [] if self._start in (None, start) else self.flush()
        self._start = start
        self._merge(window)
        self._held = LastValue(window.last, window.last_time, window.quality)
        return done if start + self._length > window.start + window.length else done + self.flush()

    def pop_supplement(self) -> list[WindowBlock]:
        """Return the supplement that late windows have made so far; called when no more windows are at hand."""
        start, self._late_start = self._late_start, None
        if start is None:
            return []
        block = self._late.window(start, self._length, True, LastValue.unknown(self._tags))
        if self._kept is not None:
            self._kept.close(self._late, block)
        return [replace(block.take(block.count > 0), past=self._late_past)]

    def flush(self) -> list[WindowBlock]:
        """Return what has been gathered so far as the summary of its span, nothing if there is nothing."""
        if self._start is None:
            return []
        late = self._start == self._begun
        block = self._statistics.window(self._start, self._length, late, self._held)
        if self._kept is not None:
            self._kept.close(self._statistics, block)
        self._begun, self._start, self._statistics = self._start, None, Statistics(self._tags)
        young, self._young = self._young, None
        if late:
            block = block.take(block.count > 0)
        elif young is not None:
            if self._kept is not None:
                self._kept.forget(block.start)
            supplement = replace(block.take(young & (block.count > 0)), late=True)
            return [one for one in (block.take(~young), supplement) if len(one)]
        return [block] if len(block) else []

    @property
    def begun(self) -> int | None:
        """Return the start of the span of which something is published already, ns."""
        return self._begun

    def resume(self, start: int) -> None:
        """Go on after a run that has published a part of this span."""
        self._begun = start

    def retire(self, tags: TagIds) -> list[WindowBlock]:
        """Return what has been gathered of tags that end, as far as there are samples."""
        if self._start is None:
            return []
        return self._statistics.ended(tags, self._start, self._length, self._start == self._begun)

    def take_over(self, other: "Summary", move: TagMove) -> None:
        """Go on with the tags of another one that stay. What `move.young` gather in the present span is a supplement."""
        self._start, self._begun = other._start, other._begun
        self._statistics, self._held = other._statistics.moved(move), other._held.moved(move)
        if other._start is not None:
            self._young = move.young.copy()
            if other._young is not None:
                self._young |= move.moved(other._young, False)

    def _merge(self, window: WindowBlock) -> None:
        _merge(self._statistics, window)
        # A tag of which nothing was read yet has no gap: when the first sample comes within the span means nothing.
        unknown = (window.count == 0) & (window.quality < USABLE_FROM) & (window.quality != Quality.BAD_WAITING)
        self._statistics.gap[window.tag[unknown]] = True

    def _add_late(self, window: WindowBlock, start: int) -> list[WindowBlock]:
        if start == self._start:
            self._merge(window)
            return []
        done = []
        if (start, window.past) != (self._late_start, self._late_past):
            done = self.pop_supplement()
            self._late_start, self._late_past, self._late = start, window.past, Statistics(self._tags)
        _merge(self._late, window)
        return done


def _merge(statistics: Statistics, window: WindowBlock) -> None:
    whole = len(window) == statistics.used.size
    statistics.merge(of_window(window), slice(None) if whole else window.tag.astype("intp"))
