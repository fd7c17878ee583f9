"""What a subscriber knows of one topic within one boot.

Which numbers came, which were declared lost, which it may have missed itself. Pure.
"""

from dataclasses import dataclass, field
from typing import Final

from gateway.core.interval_set import Spans

_MOST_INCOMPLETE: Final = 1000


@dataclass(slots=True)
class Parts:
    """What is there of a message that comes in several packets."""

    count: int
    marked: bool = False
    there: set[int] = field(default_factory=set)


@dataclass(slots=True)
class SequenceTracker:
    """What came of one topic within one boot, and what is known of the rest."""

    base: int = 0
    """The first number received."""
    base_ms: int = 0
    dur_ms: int = 0
    received: Spans = field(default_factory=Spans)
    marked: Spans = field(default_factory=Spans)
    """Received, and may come twice."""
    lost: Spans = field(default_factory=Spans)
    """Declared lost, as whole spans."""
    merged: Spans = field(default_factory=Spans)
    """Declared to come merged, as whole spans."""
    partly_lost: dict[tuple[int, int, str], int] = field(default_factory=dict)
    """First, last and cause, with the count, where not all of a span was declared."""
    times_ms: dict[int, int] = field(default_factory=dict)
    """The first number of a received span to the end of that message's time."""
    parts: dict[int, Parts] = field(default_factory=dict)
    away: Spans = field(default_factory=Spans)
    """Spans in which numbers may have been sent while the subscriber itself was disconnected."""
    fleeting: bool = False
    """It comes without acknowledgement, so nothing is kept for those who are away."""
    duplicates: int = 0
    unexplained: int = 0
    _frontier: int = 0
    _kept: bool = True
    _closing: bool = True

    @property
    def has_begun(self) -> bool:
        """Return whether anything of it is known for sure."""
        return bool(self.base or self.partly_lost or len(self.lost) or len(self.merged))

    def extent(self, *, from_start: bool) -> tuple[int, int]:
        """Return the first and last number that must be there or accounted for."""
        partly = ((begin, end) for begin, end, _ in self.partly_lost)
        numbers = [number for span in (*self.received, *self.lost, *self.merged, *partly) for number in span]
        first = 1 if from_start else self.base or min(numbers)
        return first, max(numbers)

    def count(self, seq: int, end_ms: int, *, marked: bool, live: bool) -> None:
        """Take a message that is whole. marked: it may come twice; live: it is none from backlog."""
        if not self.base:
            self.base, self.base_ms = seq, end_ms
        if seq in self.received:
            self.duplicates += 1
            self.unexplained += not (marked or seq in self.marked)
        elif seq - 1 not in self.received:
            self.times_ms[seq] = end_ms
        self.times_ms.pop(seq + 1, None)
        self.received.add(seq, seq)
        if marked:
            self.marked.add(seq, seq)
        if live and self._closing and self._frontier and seq > self._frontier:
            self._close(seq)

    def part(self, seq: int, part: tuple[int, int], marked: bool) -> Parts | None:
        """Note a part; the message's parts once all are there. One that is sent again may be cut into another number."""
        k, count = part
        parts = self.parts.get(seq)
        if parts is None or parts.count != count:
            parts = self.parts[seq] = Parts(count)
            while len(self.parts) > _MOST_INCOMPLETE:
                del self.parts[next(iter(self.parts))]
        parts.there.add(k)
        parts.marked = parts.marked or marked
        return self.parts.pop(seq) if len(parts.there) == count else None

    def was_away(self, *, kept: bool) -> None:
        """Record that the subscriber was disconnected until now.

        What is missing between the newest number so far and the next live one may have been sent meanwhile. kept: the broker
        kept what came, as far as its queue goes. That comes first now, and the next live one is known only after `settled`.
        """
        if not self.has_begun:
            return
        kept = kept and not self.fleeting
        if not self._frontier:
            self._frontier = max(self.extent(from_start=False)[1], 1)
            self._kept = kept
        self._kept = self._kept and kept
        self._closing = not kept

    def settled(self) -> None:
        """Record that what the broker had kept has come."""
        self._closing = True

    def is_silent(self) -> bool:
        """Return whether nothing has come since an absence for which nothing was kept: nobody knows its last number."""
        if not self._frontier:
            return False
        newest = self.extent(from_start=False)[1]
        if newest > self._frontier:  # only backlog so far
            self.away.add(self._frontier + 1, newest)
            return False
        return not self._kept

    def _close(self, seq: int) -> None:
        if seq > self._frontier + 1:
            self.away.add(self._frontier + 1, seq - 1)
        self._frontier = 0
