"""Counts of what has arrived at a subscriber: by kind, by topic, and the times without a connection. Pure."""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from gateway.core.decoded_message import DecodedMessage
from gateway.core.plural import counted

_MOST_TOPICS: Final = 10_000
_MOST_ABSENCES: Final = 1000
OTHERS: Final = "(further topics)"


@dataclass(slots=True)
class Flow:
    """The traffic on one topic."""

    first_s: float
    """Monotonic time of the first packet."""
    last_s: float
    """Monotonic time of the last packet."""
    messages: int = 0
    """Packets."""
    values: int = 0
    """Values of tags."""
    size_bytes: int = 0
    """Of payload."""


@dataclass(frozen=True, slots=True)
class Absence:
    """A time in which the subscriber was disconnected."""

    begin_s: float
    """Wall time."""
    end_s: float
    """Wall time."""
    kept: bool
    """Whether the far end had kept the subscriptions, and what came meanwhile."""


@dataclass(slots=True)
class TrafficStats:
    """Counts of everything that has arrived at one subscriber."""

    kinds: Counter[str] = field(default_factory=Counter)
    """Messages by their kind."""
    flows: dict[str, Flow] = field(default_factory=dict)
    """Traffic by topic; of very many topics the later ones together under `OTHERS`."""
    absences: list[Absence] = field(default_factory=list)
    """Times without a connection; of very many only the first ones."""
    values: int = 0
    """Values of tags."""
    lost: int = 0
    """Messages that loss records declare lost; a record that came twice counts twice."""
    merged: int = 0
    """Messages that loss records declare merged, counted in the same way."""
    malformed: int = 0
    """Messages that could not be parsed."""
    foreign: int = 0
    """Messages of others, on topics where others are to be expected."""
    now: Callable[[], float] = time.monotonic
    """The clock of `Flow`, seconds."""

    def count(self, message: DecodedMessage, size_bytes: int = 0) -> None:
        """Count a message. size_bytes: of its payload."""
        self.kinds["description" if message.kind == "tags" else message.kind] += 1
        tags = message.body.get("tags")
        values = len(tags) if isinstance(tags, dict) else 0
        self.values += values
        self._flow(message.topic, values, size_bytes)
        if message.kind == "event" and message.body["kind"] == "loss":
            self._loss(message.body)

    def was_away(self, absence: Absence) -> None:
        """Record a time without a connection; of very many only the first ones."""
        if len(self.absences) < _MOST_ABSENCES:
            self.absences.append(absence)

    @property
    def total(self) -> int:
        """Return the number of messages, malformed ones included, those of others not."""
        return sum(self.kinds.values()) + self.malformed

    def __str__(self) -> str:
        parts = [counted(count, kind, _PLURALS.get(kind, "")) for kind, count in sorted(self.kinds.items())]
        parts += [f"{self.malformed} malformed"] if self.malformed else []
        parts += [f"{counted(self.foreign, 'message')} of others"] if self.foreign else []
        return ", ".join(parts) or "nothing"

    def _flow(self, topic: str, values: int, size_bytes: int) -> None:
        now = self.now()
        name = topic if topic in self.flows or len(self.flows) < _MOST_TOPICS else OTHERS
        flow = self.flows.setdefault(name, Flow(now, now))
        flow.last_s = now
        flow.messages += 1
        flow.values += values
        flow.size_bytes += size_bytes

    def _loss(self, body: Mapping[str, object]) -> None:
        count = body.get("count")
        if isinstance(count, int) and body.get("cause") == "thinned":
            self.merged += count
        elif isinstance(count, int):
            self.lost += count


_PLURALS: Final = {"status": "status", "stats": "stats", "raw": "raw", "summary": "summaries"}
