"""Readings that wait for the collector, within bounds. Pure; for two threads under the lock of whoever owns it."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from gateway.core.spans import Span

MOST_VALUES: Final = 200_000
MOST_SPANS: Final = 1_000


@dataclass(frozen=True, slots=True)
class Points:
    """The values of one metric at one time."""

    name: str
    """Its name."""
    kind: str
    """`counter`, else it goes up and down."""
    text: str
    """What it means."""
    series: Sequence[tuple[float, Mapping[str, str]]]
    """Values with their labels."""


@dataclass(frozen=True, slots=True)
class Reading:
    """All metrics at one time."""

    time_ns: int
    """When, ns UTC."""
    metrics: Sequence[Points]
    """All of them."""

    @property
    def size(self) -> int:
        """Return how many values it has."""
        return sum(len(one.series) for one in self.metrics)


@dataclass(frozen=True, slots=True)
class EndedSpan:
    """A span with its end."""

    end_ns: int
    """When it ended, ns UTC."""
    span: Span
    """What it was."""


class WaitingReadings:
    """Readings and spans, oldest first."""

    def __init__(self, keep_ns: int) -> None:
        """Begin empty. keep_ns: older readings are dropped, but for the newest."""
        self._keep_ns = keep_ns
        self._readings: deque[Reading] = deque()
        self._values = 0
        self._spans: deque[EndedSpan] = deque(maxlen=MOST_SPANS)
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._readings)

    def add(self, reading: Reading) -> None:
        """Add a reading, and drop those for which there is no time or room."""
        self._readings.append(reading)
        self._values += reading.size
        while len(self._readings) > 1 and (
            self._values > MOST_VALUES or reading.time_ns - self._readings[0].time_ns > self._keep_ns
        ):
            self.pop()
            self.dropped += 1

    def add_span(self, span: EndedSpan) -> None:
        """Add a span; of more than 1,000 the oldest go."""
        self._spans.append(span)

    @property
    def oldest(self) -> Reading | None:
        """Return the oldest reading."""
        return self._readings[0] if self._readings else None

    def pop(self) -> None:
        """Remove the oldest reading."""
        self._values -= self._readings.popleft().size

    def sent(self, reading: Reading) -> None:
        """Remove a reading that was sent, if it is still there."""
        if self.oldest is reading:
            self.pop()

    def take_spans(self) -> list[EndedSpan]:
        """Remove all spans and return them."""
        found = list(self._spans)
        self._spans.clear()
        return found

    def put_back(self, spans: Sequence[EndedSpan]) -> None:
        """Add spans again that could not be sent, before newer ones, as far as there is room."""
        room = MOST_SPANS - len(self._spans)
        self._spans.extendleft(reversed(spans[max(0, len(spans) - room) :]))
