"""What a server's device state rests on: nodes it refuses, and samples lost on the way. Pure."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from gateway.core.messages import DeviceState
from gateway.sources.opcua.config.device import OpcUaTag
from gateway.sources.opcua.config.value_selection import SELECTION_FAULTS
from gateway.sources.opcua.status.codes import status_name
from gateway.sources.opcua.status.explanation import explained

FIRST_RETRY_S: Final = 30.0
MOST_RETRY_S: Final = 120.0
"""A retry is one item more in a call for all that are due: cheap enough to see soon that a node was created again."""
SHOWN_S: Final = 60.0
_NAMED: Final = 3


@dataclass(slots=True)
class _BadNode:
    status: int
    delay_s: float
    due_s: float
    words: str


class NodeHealth:
    """Refused nodes with their retry times, and complaints that fade. Times are monotonic seconds."""

    def __init__(self, device: int, tags: Sequence[OpcUaTag]) -> None:
        self._device = device
        self._tags = tags
        self._bad: dict[int, _BadNode] = {}
        self._complaints: dict[str, float] = {}

    @property
    def bad_rows(self) -> frozenset[int]:
        """Rows whose node is refused at present."""
        return frozenset(self._bad)

    def statuses(self) -> Counter[int]:
        """How many nodes are refused with what status."""
        return Counter(bad.status for bad in self._bad.values())

    def fail(self, row: int, status: int, now_s: float, words: str = "") -> bool:
        """The node was refused: try again after 30 s, then twice as long each time up to 2 min. True when this is news.

        words: for people, where there are better ones than those of the status."""
        known = self._bad.get(row)
        delay = min(known.delay_s * 2, MOST_RETRY_S) if known else FIRST_RETRY_S
        self._bad[row] = _BadNode(status, delay, now_s + delay, words)
        return known is None or known.status != status

    def accept(self, rows: Iterable[int]) -> None:
        """The nodes are watched. Whether the tag's part of the value is there, only the value will tell."""
        self.heal([row for row in rows if row in self._bad and self._bad[row].status not in SELECTION_FAULTS])

    def heal(self, rows: Iterable[int]) -> None:
        """The tags have values."""
        for row in rows:
            self._bad.pop(row, None)

    def due(self, now_s: float) -> list[int]:
        """Rows whose retry is due, ascending."""
        return sorted(row for row, bad in self._bad.items() if bad.due_s <= now_s)

    def hurry(self, now_s: float) -> None:
        """All may be tried again: the server's nodes have changed."""
        for bad in self._bad.values():
            bad.due_s, bad.delay_s = min(bad.due_s, now_s), FIRST_RETRY_S / 2

    def complain(self, sentence: str, now_s: float) -> bool:
        """Something was lost; shown until a minute has passed without it. True when it was not shown already."""
        news = self._complaints.get(sentence, now_s) <= now_s
        self._complaints[sentence] = now_s + SHOWN_S
        return news

    def state(self, now_s: float, note: str = "") -> DeviceState:
        """`ok`, or `degraded` with a sentence: the note, the first few refused nodes and how many more, complaints."""
        self._complaints = {sentence: end for sentence, end in self._complaints.items() if end > now_s}
        reasons = [note] if note else []
        reasons += [self._refused()] if self._bad else []
        reasons += sorted(self._complaints)
        return DeviceState(self._device, "degraded", "; ".join(reasons)) if reasons else DeviceState(self._device, "ok")

    def _refused(self) -> str:
        rows = sorted(self._bad)
        reasons = {one.words or explained(one.status) for one in self._bad.values()}
        if 1 < len(rows) == len(self._tags) and len(reasons) == 1:
            return f"all {len(rows)} nodes refused: {reasons.pop()}"
        first = [(self._tags[row], self._bad[row]) for row in rows[:_NAMED]]
        named = [f"{tag.name} ({tag.node}) {one.words or status_name(one.status)}" for tag, one in first]
        for status in {one.status for _, one in first if not one.words}:  # each explained once, where it comes first
            at = next(at for at, (_, one) in enumerate(first) if one.status == status and not one.words)
            meaning = explained(status).removeprefix(status_name(status)).removeprefix(": ")
            named[at] += f" ({meaning})" if meaning else ""
        more = [f"{len(rows) - _NAMED} more"] if len(rows) > _NAMED else []
        return f"{len(rows)} of {len(self._tags)} nodes refused: " + ", ".join(named + more)
