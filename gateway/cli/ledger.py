"""Proves that nothing is missing: every message carries (boot, topic, seq), every loss is declared. Pure, no I/O."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

_MOST_INCOMPLETE: Final = 1000
_MOST_CAUSES: Final = 100


@dataclass(frozen=True, slots=True)
class Row:
    """What is known of one topic within one boot. Counts are messages.

    first, last: the sequence numbers that must all be there, declared losses included. missing: of these, not received;
    explained: of the missing, declared lost; uncertain: of the missing, possibly lost in an unclean stop.
    duplicates: repeated receptions; unexplained_duplicates: of these, neither `hist` nor marked by MQTT's DUP flag.
    """

    topic: str
    boot: str
    first: int
    last: int
    received: int
    missing: int
    explained: int
    uncertain: int
    duplicates: int
    unexplained_duplicates: int

    @property
    def complete(self) -> bool:
        """Whether every message is there or accounted for, and none came twice without a reason."""
        return self.missing == self.explained + self.uncertain and not self.unexplained_duplicates


@dataclass(frozen=True, slots=True)
class Report:
    """The proof, one row per (topic, boot), sorted by topic; a topic's boots in order of appearance. losses: messages that
    loss records have told of, by cause; thinned_first: messages of which such records say that they had been merged into
    those before, so that they are in the count of `thinned`."""

    rows: tuple[Row, ...]
    losses: Mapping[str, int] = field(default_factory=dict)
    thinned_first: Mapping[str, int] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether every row is complete."""
        return all(row.complete for row in self.rows)


class Spans:
    """A set of whole numbers kept as merged spans, so that a run of any length costs the same."""

    def __init__(self, spans: Iterable[tuple[int, int]] = ()) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        for first, last in spans:
            self.add(first, last)

    def __contains__(self, number: int) -> bool:
        at = bisect_right(self._firsts, number) - 1
        return at >= 0 and number <= self._lasts[at]

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(self._firsts, self._lasts, strict=True)

    def __len__(self) -> int:
        return sum(last - first + 1 for first, last in self)

    def add(self, first: int, last: int) -> None:
        """Add first..last, both included."""
        low = bisect_right(self._lasts, first - 2)  # the spans from low up to high touch or overlap first..last
        high = bisect_right(self._firsts, last + 1)
        if low < high:
            first = min(first, self._firsts[low])
            last = max(last, self._lasts[high - 1])
        self._firsts[low:high] = [first]
        self._lasts[low:high] = [last]

    def gaps(self, first: int, last: int) -> list[tuple[int, int]]:
        """The spans within first..last that are not in the set, rising."""
        found = []
        for begin, end in self:
            if begin > last:
                break
            if begin > first:
                found.append((first, begin - 1))
            first = max(first, end + 1)
        if first <= last:
            found.append((first, last))
        return found

    def fill(self, first: int, last: int, count: int) -> None:
        """Add up to `count` of the numbers that are missing in first..last: a loss that does not say which ones."""
        for begin, end in self.gaps(first, last):
            taken = min(count, end - begin + 1)
            if taken:
                self.add(begin, begin + taken - 1)
            count -= taken


@dataclass(slots=True)
class _Parts:
    """What is there of a message that comes in several packets."""

    count: int
    marked: bool = False
    there: set[int] = field(default_factory=set)


@dataclass(slots=True)
class _Track:
    """One topic within one boot. partly_lost: first, last and cause, with the count. times_ms maps the first number of a
    received span to the end of that message's time."""

    base: int = 0
    base_ms: int = 0
    dur_ms: int = 0
    received: Spans = field(default_factory=Spans)
    marked: Spans = field(default_factory=Spans)
    lost: Spans = field(default_factory=Spans)
    partly_lost: dict[tuple[int, int, str], int] = field(default_factory=dict)
    times_ms: dict[int, int] = field(default_factory=dict)
    parts: dict[int, "_Parts"] = field(default_factory=dict)
    duplicates: int = 0
    unexplained: int = 0

    @property
    def begun(self) -> bool:
        """Whether anything of it is known for sure."""
        return bool(self.base or self.partly_lost or len(self.lost))

    def extent(self, *, from_start: bool) -> tuple[int, int]:
        """The first and last number that must be there or accounted for."""
        partly = ((begin, end) for begin, end, _ in self.partly_lost)
        numbers = [number for span in (*self.received, *self.lost, *partly) for number in span]
        first = 1 if from_start else self.base or min(numbers)
        return first, max(numbers)


class Ledger:
    """Takes every message that a subscriber gets and says what is missing. Memory grows with gaps, not with messages.

    A track begins with the first number received of it, since the subscriber may have come later; older ones that
    arrive afterwards count as received and are not asked for. With `from_start` each must begin at 1. A message in parts
    counts once all of them are there.
    """

    def __init__(self, *, from_start: bool = False) -> None:
        self._from_start = from_start
        self._tracks: dict[tuple[str, str], _Track] = {}
        self._last_ms: dict[str, int] = {}
        self._unclean: dict[str, int] = {}
        self._losses: Counter[str] = Counter()
        self._thinned_first: Counter[str] = Counter()

    def take(self, topic: str, payload: Mapping[str, Any], *, dup: bool = False, retained: bool = False) -> None:
        """Count one message. Retained copies and messages without (boot, seq), such as status, prove nothing: left out."""
        boot, seq = payload.get("boot"), payload.get("seq")
        if retained or not isinstance(boot, str) or not isinstance(seq, int) or seq < 1:
            return
        marked = dup or payload.get("hist") is True
        track = self._tracks.setdefault((topic, boot), _Track())
        if (part := _part(payload)) is not None:
            parts = _with_part(track, seq, part, marked)
            if parts is None:
                return
            marked = parts.marked
        end_ms = _whole(payload, "ts") + _whole(payload, "dur")
        self._last_ms[boot] = max(self._last_ms.get(boot, 0), end_ms)
        if not track.base:
            track.base, track.base_ms = seq, end_ms
        track.dur_ms = max(track.dur_ms, _whole(payload, "dur"))
        known = seq in track.received
        self._count(track, seq, end_ms, marked=marked)
        if payload.get("kind") == "loss":
            self._loss(payload, known=known)
        elif payload.get("kind") == "unclean_stop" and isinstance(payload.get("previous"), str):
            self._unclean[payload["previous"]] = _whole(payload, "bound_ms")

    def report(self) -> Report:
        """The proof as of now."""
        tracks = sorted((item for item in self._tracks.items() if item[1].begun), key=lambda item: item[0][0])
        rows = tuple(self._row(topic, boot, track) for (topic, boot), track in tracks)
        return Report(rows, dict(self._losses), dict(self._thinned_first))

    @staticmethod
    def _count(track: _Track, seq: int, end_ms: int, *, marked: bool) -> None:
        if seq in track.received:
            track.duplicates += 1
            track.unexplained += not (marked or seq in track.marked)
        elif seq - 1 not in track.received:
            track.times_ms[seq] = end_ms
        track.times_ms.pop(seq + 1, None)
        track.received.add(seq, seq)
        if marked:
            track.marked.add(seq, seq)

    def _loss(self, payload: Mapping[str, Any], *, known: bool) -> None:
        topic, boot = payload.get("topic"), payload.get("of_boot", payload.get("boot"))
        first, last, count = (_whole(payload, key) for key in ("first_seq", "last_seq", "count"))
        if not isinstance(topic, str) or not isinstance(boot, str) or not 1 <= first <= last:
            return
        if not known and len(self._losses) < _MOST_CAUSES:
            self._losses[str(payload.get("cause"))] += count
            if (more := _whole(payload, "windows") - count) > 0:
                self._thinned_first[str(payload.get("cause"))] += more
        track = self._tracks.setdefault((topic, boot), _Track())
        if count >= last - first + 1:
            track.lost.add(first, last)
        else:
            track.partly_lost[first, last, str(payload.get("cause"))] = count

    def _row(self, topic: str, boot: str, track: _Track) -> Row:
        first, last = track.extent(from_start=self._from_start)
        missing = _size(track.received.gaps(first, last))
        known = Spans((*track.received, *track.lost))
        # by their ends, so that a wide span leaves a narrow one its numbers
        for (begin, end, _), count in sorted(track.partly_lost.items(), key=lambda item: item[0][1]):
            known.fill(max(begin, first), end, count)
        open_gaps = known.gaps(first, last)
        return Row(
            topic=topic,
            boot=boot,
            first=first,
            last=last,
            received=len(track.received),
            missing=missing,
            explained=missing - _size(open_gaps),
            uncertain=_size(gap for gap in open_gaps if self._uncertain(boot, track, gap)),
            duplicates=track.duplicates,
            unexplained_duplicates=track.unexplained,
        )

    def _uncertain(self, boot: str, track: _Track, gap: tuple[int, int]) -> bool:
        """Whether all of a gap can lie within `bound_ms` before the last sign of a boot that ended uncleanly.

        The missing ones came before their right neighbour, no closer to each other than windows of this topic, or than
        its messages on average where that is closer.
        """
        bound_ms, right = self._unclean.get(boot), gap[1] + 1
        if bound_ms is None or right not in track.times_ms:
            return False
        right_ms = track.times_ms[right]
        average_ms = (right_ms - track.base_ms) / (right - track.base) if right > track.base else 0.0
        apart_ms = min(track.dur_ms, average_ms) if track.dur_ms else average_ms
        earliest_ms = right_ms - (right - gap[0]) * apart_ms
        return self._last_ms[boot] - earliest_ms <= bound_ms


def _size(spans: Iterable[tuple[int, int]]) -> int:
    return sum(last - first + 1 for first, last in spans)


def _whole(payload: Mapping[str, Any], key: str) -> int:
    value = payload.get(key)
    return value if isinstance(value, int) else 0


def _part(payload: Mapping[str, Any]) -> tuple[int, int] | None:
    """Which of how many, where a message comes in several packets."""
    match payload.get("part"):
        case [int(k), int(n)] if 1 <= k <= n and n > 1:
            return k, n
        case _:
            return None


def _with_part(track: _Track, seq: int, part: tuple[int, int], marked: bool) -> _Parts | None:
    """Note a part; the message's parts once all are there. One that is sent again may be cut into another number."""
    k, count = part
    parts = track.parts.get(seq)
    if parts is None or parts.count != count:
        parts = track.parts[seq] = _Parts(count)
        while len(track.parts) > _MOST_INCOMPLETE:
            del track.parts[next(iter(track.parts))]
    parts.there.add(k)
    parts.marked = parts.marked or marked
    return track.parts.pop(seq) if len(parts.there) == count else None
