"""The sequence numbers of one topic within one boot, as a subscriber sees them. Pure.

Which ones came, which ones were declared lost, and which ones the subscriber may have missed itself.
"""

from dataclasses import dataclass, field
from typing import Final

from gateway.core.interval_set import IntervalSet

_MOST_INCOMPLETE: Final = 1000


@dataclass(slots=True)
class PartialMessage:
    """A message that comes in several packets, of which some have arrived."""

    count: int
    """How many packets it has."""
    marked: bool = False
    """It may come twice."""
    arrived: set[int] = field(default_factory=set)
    """The numbers of the packets that have arrived, from 1."""


@dataclass(slots=True)
class SequenceTracker:
    """The numbers of one topic within one boot that came, and what is known of the others."""

    base: int = 0
    """The first number received."""
    base_ms: int = 0
    """The end of that message's time, ms since the epoch."""
    dur_ms: int = 0
    """The longest time that one message describes, ms."""
    received: IntervalSet = field(default_factory=IntervalSet)
    """Numbers that came."""
    marked: IntervalSet = field(default_factory=IntervalSet)
    """Received, and may come twice."""
    lost: IntervalSet = field(default_factory=IntervalSet)
    """Declared lost, as whole spans."""
    merged: IntervalSet = field(default_factory=IntervalSet)
    """Declared to come merged, as whole spans."""
    partly_lost: dict[tuple[int, int, str], int] = field(default_factory=dict)
    """First, last and cause, with the count, where not all of a span was declared."""
    times_ms: dict[int, int] = field(default_factory=dict)
    """The first number of a received span to the end of that message's time."""
    parts: dict[int, PartialMessage] = field(default_factory=dict)
    """Messages of which some packets are missing, by their number."""
    away: IntervalSet = field(default_factory=IntervalSet)
    """IntervalSet in which numbers may have been sent while the subscriber itself was disconnected."""
    fleeting: bool = False
    """It comes without acknowledgement, so nothing is kept for those who are away."""
    duplicates: int = 0
    """Messages that came again."""
    unexplained: int = 0
    """Of these, those that nothing marked as a possible repetition."""
    _frontier: int = 0
    _kept: bool = True
    _closing: bool = True

    @property
    def has_begun(self) -> bool:
        """Return whether any number has been received, or declared lost or merged."""
        return bool(self.base or self.partly_lost or len(self.lost) or len(self.merged))

    def extent(self, *, from_start: bool) -> tuple[int, int]:
        """Return the first and last number that must be there or accounted for."""
        partly = ((begin, end) for begin, end, _ in self.partly_lost)
        numbers = [number for span in (*self.received, *self.lost, *self.merged, *partly) for number in span]
        first = 1 if from_start else self.base or min(numbers)
        return first, max(numbers)

    def count(self, seq: int, end_ms: int, *, marked: bool, live: bool) -> None:
        """Count a whole message. marked: it may come twice; live: it is not from backlog."""
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

    def add_part(self, seq: int, part: tuple[int, int], marked: bool) -> PartialMessage | None:
        """Record a part. Returns all parts once the message is whole.

        A message that is sent again may be cut into another number of parts; those of the first time are dropped then.
        """
        k, count = part
        parts = self.parts.get(seq)
        if parts is None or parts.count != count:
            parts = self.parts[seq] = PartialMessage(count)
            while len(self.parts) > _MOST_INCOMPLETE:
                del self.parts[next(iter(self.parts))]
        parts.arrived.add(k)
        parts.marked = parts.marked or marked
        return self.parts.pop(seq) if len(parts.arrived) == count else None

    def was_away(self, *, kept: bool) -> None:
        """Record that the subscriber was disconnected until now.

        What is missing between the newest number so far and the next live one may have been sent meanwhile. kept: the broker
        kept what came, as far as its queue goes. Those messages come first, and the next live one is known only
        after `backlog_received`.
        """
        if not self.has_begun:
            return
        kept = kept and not self.fleeting
        if not self._frontier:
            self._frontier = max(self.extent(from_start=False)[1], 1)
            self._kept = kept
        self._kept = self._kept and kept
        self._closing = not kept

    def backlog_received(self) -> None:
        """Record that all messages that the broker had kept have come."""
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
