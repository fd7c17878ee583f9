"""Which nodes a server refuses, and which warnings apply: what the device state rests on. Pure."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from gateway.core.messages import DeviceState
from gateway.core.retry_timer import RetryTimers
from gateway.sources.opcua.config.device import OpcUaTag
from gateway.sources.opcua.config.value_selection import SELECTION_FAULTS
from gateway.sources.opcua.source.intervals import DEFAULT_INTERVALS, Intervals
from gateway.sources.opcua.status.codes import status_name
from gateway.sources.opcua.status.explanation import explained

_NAMED: Final = 3
"""Nodes that the device state names; of the others it says how many there are."""


@dataclass(frozen=True, slots=True)
class _Refusal:
    status: int
    words: str


class NodeHealth:
    """Refused nodes with their retry times, and warnings that expire. Times are monotonic seconds."""

    def __init__(self, device: int, tags: Sequence[OpcUaTag], intervals: Intervals = DEFAULT_INTERVALS) -> None:
        """Begin with all nodes well."""
        self._device = device
        self._tags = tags
        self._refused: dict[int, _Refusal] = {}
        self._retries = RetryTimers[int](intervals.node_retry_s, intervals.node_retry_most_s)
        self._warnings: dict[str, float] = {}
        self._shown_s = intervals.warning_shown_s

    @property
    def bad_rows(self) -> frozenset[int]:
        """Return the rows of tags whose node is refused at present."""
        return frozenset(self._refused)

    def statuses(self) -> Counter[int]:
        """Return how many nodes are refused with what status."""
        return Counter(refusal.status for refusal in self._refused.values())

    def fail(self, row: int, status: int, now_s: float, words: str = "") -> bool:
        """Record that the node was refused, and start its retry timer. Returns whether the status is news.

        words: for people, where there are better ones than those of the status.
        """
        known = self._refused.get(row)
        self._refused[row] = _Refusal(status, words)
        self._retries.failed(row, now_s)
        return known is None or known.status != status

    def accept(self, rows: Iterable[int]) -> None:
        """Record that the nodes are monitored. Whether the tag's part of the value exists, only the value will show."""
        self.heal([row for row in rows if row in self._refused and self._refused[row].status not in SELECTION_FAULTS])

    def heal(self, rows: Iterable[int]) -> None:
        """Record that the tags have values."""
        for row in rows:
            if self._refused.pop(row, None) is not None:
                self._retries.clear((row,))

    def due(self, now_s: float) -> list[int]:
        """Return the rows whose retry is due, ascending."""
        return sorted(self._retries.due(now_s))

    def hurry(self, now_s: float) -> None:
        """Make all retries due now, because the server's nodes have changed."""
        self._retries.hurry(now_s)

    def warn(self, sentence: str, now_s: float) -> bool:
        """Show a warning in the device state until a minute has passed without it. Returns whether it was not shown yet."""
        is_news = self._warnings.get(sentence, now_s) <= now_s
        self._warnings[sentence] = now_s + self._shown_s
        return is_news

    def state(self, now_s: float, note: str = "") -> DeviceState:
        """Return `ok`, or `degraded` with a sentence: the note, the first refused nodes and how many more, the warnings."""
        self._warnings = {sentence: end for sentence, end in self._warnings.items() if end > now_s}
        reasons = [note] if note else []
        reasons += [self._refused_text()] if self._refused else []
        reasons += sorted(self._warnings)
        return DeviceState(self._device, "degraded", "; ".join(reasons)) if reasons else DeviceState(self._device, "ok")

    def _refused_text(self) -> str:
        rows = sorted(self._refused)
        reasons = {_words(one) for one in self._refused.values()}
        if 1 < len(rows) == len(self._tags) and len(reasons) == 1:
            return f"all {len(rows)} nodes refused: {reasons.pop()}"
        first = [(self._tags[row], self._refused[row]) for row in rows[:_NAMED]]
        named = [f"{tag.name} ({tag.node}) {_words(one) if one.words else status_name(one.status)}" for tag, one in first]
        for status in {one.status for _, one in first if not one.words}:  # each explained once, where it comes first
            at = next(at for at, (_, one) in enumerate(first) if one.status == status and not one.words)
            meaning = explained(status).removeprefix(status_name(status)).removeprefix(": ")
            named[at] += f" ({meaning})" if meaning else ""
        more = [f"{len(rows) - _NAMED} more"] if len(rows) > _NAMED else []
        return f"{len(rows)} of {len(self._tags)} nodes refused: " + ", ".join(named + more)


def _words(refusal: _Refusal) -> str:
    """Return the reason with the status code's own name, which is what the server's documentation speaks of."""
    if not refusal.words:
        return explained(refusal.status)
    name = status_name(refusal.status)
    return refusal.words if name in refusal.words else f"{refusal.words} ({name})"
