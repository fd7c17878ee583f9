"""The ledger that proves that nothing is missing: every message has (boot, topic, seq), every loss is declared. Pure."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any, Final

from gateway.audit.sequence_tracker import SequenceTracker
from gateway.core.decoded_message import Malformed
from gateway.core.interval_set import IntervalSet, size

_MOST_CAUSES: Final = 100
_MOST_SEQUENCES: Final = 20_000
_MERGED: Final = "thinned"


@dataclass(frozen=True, slots=True)
class Row:
    """The proof for one topic within one boot. All counts are messages."""

    topic: str
    """The topic, or the stream of a layout with a topic for each tag."""
    boot: str
    """The run of the gateway."""
    first: int
    """The first sequence number that must be there."""
    last: int
    """The last one, declared losses included."""
    received: int
    """Numbers received."""
    missing: int
    """Of first to last, not received."""
    explained: int
    """Of the missing, declared lost or merged."""
    uncertain: int
    """Of the missing, possibly lost in an unclean stop."""
    duplicates: int
    """Repeated receptions."""
    unexplained_duplicates: int
    """Of these, neither `hist` nor marked by the far end as a repetition."""
    merged: int = 0
    """Of the explained, those that come merged into longer windows."""
    away: int = 0
    """Of the missing without explanation, possibly sent while the subscriber itself was disconnected."""

    @property
    def complete(self) -> bool:
        """Return whether every message is there or accounted for, and none came twice without a reason."""
        return self.missing == self.explained + self.uncertain and not self.unexplained_duplicates

    @property
    def unproven(self) -> int:
        """Return how many numbers are missing without any explanation; the subscriber's own absence is one."""
        return self.missing - self.explained - self.uncertain - self.away


@dataclass(frozen=True, slots=True)
class Report:
    """The proof, one row per (topic, boot)."""

    rows: tuple[Row, ...]
    """Sorted by topic; a topic's boots in order of appearance."""
    losses: Mapping[str, int] = field(default_factory=dict)
    """Messages that loss records speak of, by cause."""
    silent: int = 0
    """Rows of which nothing has come since the subscriber was away and nothing was kept for it: nobody knows their last
    number."""
    fleeting: int = 0
    """Rows that come without acknowledgement, of which nothing is kept for those who are away."""
    thinned_first: Mapping[str, int] = field(default_factory=dict)
    """Messages that had been merged into those that were lost, so that they are in the count of `thinned`."""

    @property
    def complete(self) -> bool:
        """Return whether every row is complete."""
        return all(row.complete for row in self.rows)

    @property
    def sound(self) -> bool:
        """Return whether nothing is wrong that the subscriber's own absence does not explain."""
        return not any(row.unproven or row.unexplained_duplicates for row in self.rows)


class Ledger:
    """The account of every message that a subscriber gets. Memory grows with gaps, not with messages.

    The account of a topic begins with the first number received of it, since the subscriber may have come later; older
    ones that arrive afterwards count as received and are not asked for. With `from_start` each must begin at 1. A message in
    parts counts once all of them are there.
    """

    def __init__(self, *, from_start: bool = False, most_sequences: int = _MOST_SEQUENCES) -> None:
        """Create an empty account. most_sequences: how many (topic, boot) are followed; later ones are refused."""
        self._from_start = from_start
        self._most_sequences = most_sequences
        self._trackers: dict[tuple[str, str], SequenceTracker] = {}
        self._last_ms: dict[str, int] = {}
        self._unclean: dict[str, float] = {}
        self._losses: Counter[str] = Counter()
        self._thinned_first: Counter[str] = Counter()

    def add(
        self,
        topic: str,
        payload: Mapping[str, Any],
        *,
        is_repeated: bool = False,
        is_kept: bool = False,
        is_fleeting: bool = False,
    ) -> None:
        """Count one message.

        Messages without (boot, seq) such as status are ignored: they prove nothing. is_repeated: the far end marks it as a
        possible repetition. is_kept: a copy that the far end had kept from earlier, which is ignored, too. is_fleeting: it
        came without acknowledgement. Raises Malformed where it would be one sequence too many to follow.
        """
        boot, seq = payload.get("boot"), payload.get("seq")
        if is_kept or not isinstance(boot, str) or not isinstance(seq, int) or seq < 1:
            return
        hist = payload.get("hist") is True
        marked = is_repeated or hist
        tracker = self._tracker(topic, boot)
        if tracker is None:
            raise Malformed("one sequence of messages too many to follow")
        tracker.fleeting = is_fleeting
        if (part := _part(payload)) is not None:
            parts = tracker.add_part(seq, part, marked)
            if parts is None:
                return
            marked = parts.marked
        end_ms = _whole(payload, "ts") + _whole(payload, "dur")
        self._last_ms[boot] = max(self._last_ms.get(boot, 0), end_ms)
        tracker.dur_ms = max(tracker.dur_ms, _whole(payload, "dur"))
        known = seq in tracker.received
        tracker.count(seq, end_ms, marked=marked, live=not hist)
        if payload.get("kind") == "loss":
            self._loss(payload, known=known)
        elif payload.get("kind") == "unclean_stop" and isinstance(payload.get("previous"), str):
            bound_ms = payload.get("bound_ms", 0)
            self._unclean[payload["previous"]] = inf if bound_ms is None else _whole(payload, "bound_ms")

    def was_away(self, *, kept: bool) -> None:
        """Record that the subscriber was disconnected until now.

        kept: the broker kept its session, and what came as far as it could.
        """
        for tracker in self._trackers.values():
            tracker.was_away(kept=kept)

    def backlog_received(self) -> None:
        """Record that all messages that the broker had kept meanwhile have come."""
        for tracker in self._trackers.values():
            tracker.backlog_received()

    def report(self) -> Report:
        """Return the proof as of now."""
        trackers = sorted((item for item in self._trackers.items() if item[1].has_begun), key=lambda item: item[0][0])
        silent = sum(tracker.is_silent() for _, tracker in trackers)
        rows = tuple(self._row(topic, boot, tracker) for (topic, boot), tracker in trackers)
        fleeting = sum(tracker.fleeting for _, tracker in trackers)
        return Report(rows, dict(self._losses), silent, fleeting, dict(self._thinned_first))

    def _loss(self, payload: Mapping[str, Any], *, known: bool) -> None:
        topic, boot = payload.get("topic"), payload.get("of_boot", payload.get("boot"))
        first, last, count = (_whole(payload, key) for key in ("first_seq", "last_seq", "count"))
        if not isinstance(topic, str) or not isinstance(boot, str) or not 1 <= first <= last:
            return
        cause = str(payload.get("cause"))
        if not known and len(self._losses) < _MOST_CAUSES:
            self._losses[cause] += count
            if (more := _whole(payload, "windows") - count) > 0:
                self._thinned_first[cause] += more
        tracker = self._tracker(topic, boot)
        if tracker is None:
            return
        if count < last - first + 1:
            tracker.partly_lost[first, last, cause] = count
        else:
            (tracker.merged if cause == _MERGED else tracker.lost).add(first, last)

    def _tracker(self, topic: str, boot: str) -> SequenceTracker | None:
        """Return the tracker of a sequence; None where there are too many of them."""
        tracker = self._trackers.get((topic, boot))
        if tracker is None and len(self._trackers) < self._most_sequences:
            tracker = self._trackers[topic, boot] = SequenceTracker()
        return tracker

    def _row(self, topic: str, boot: str, tracker: SequenceTracker) -> Row:
        first, last = tracker.extent(from_start=self._from_start)
        open_gaps = _known(tracker, first, merged=True).gaps(first, last)
        missing, unknown = size(tracker.received.gaps(first, last)), size(open_gaps)
        uncertain = [gap for gap in open_gaps if self._uncertain(boot, tracker, gap)]
        return Row(
            topic=topic,
            boot=boot,
            first=first,
            last=last,
            received=len(tracker.received),
            missing=missing,
            explained=missing - unknown,
            uncertain=size(uncertain),
            duplicates=tracker.duplicates,
            unexplained_duplicates=tracker.unexplained,
            merged=size(_known(tracker, first, merged=False).gaps(first, last)) - unknown,
            away=sum(size(tracker.away.common(*gap)) for gap in open_gaps if gap not in uncertain),
        )

    def _uncertain(self, boot: str, tracker: SequenceTracker, gap: tuple[int, int]) -> bool:
        """Return whether all of a gap can lie within `bound_ms` before the last sign of a boot that ended uncleanly.

        The missing ones came before their right neighbour, no closer to each other than windows of this topic, or than
        its messages on average where that is closer.
        """
        bound_ms, right = self._unclean.get(boot), gap[1] + 1
        if bound_ms is None or right not in tracker.times_ms:
            return False
        right_ms = tracker.times_ms[right]
        average_ms = (right_ms - tracker.base_ms) / (right - tracker.base) if right > tracker.base else 0.0
        apart_ms = min(tracker.dur_ms, average_ms) if tracker.dur_ms else average_ms
        earliest_ms = right_ms - (right - gap[0]) * apart_ms
        return self._last_ms[boot] - earliest_ms <= bound_ms


def _known(tracker: SequenceTracker, first: int, *, merged: bool) -> IntervalSet:
    """Return what came or was declared lost; with `merged` also what was declared to come merged."""
    known = IntervalSet((*tracker.received, *tracker.lost, *(tracker.merged if merged else ())))
    # by their ends, so that a wide span leaves a narrow one its numbers
    for (begin, end, cause), count in sorted(tracker.partly_lost.items(), key=lambda item: item[0][1]):
        if merged or cause != _MERGED:
            known.fill(max(begin, first), end, count)
    return known


def _whole(payload: Mapping[str, Any], key: str) -> int:
    value = payload.get(key)
    return value if isinstance(value, int) else 0


def _part(payload: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return number and count of a message that comes in several packets, None for a message in one packet."""
    match payload.get("part"):
        case [int(k), int(n)] if 1 <= k <= n and n > 1:
            return k, n
        case _:
            return None
