"""What a server granted of what it was asked for: intervals, queues, the life of the session. Pure."""

import math
from collections import Counter
from dataclasses import dataclass, field

_SAME = 1e-6


@dataclass(slots=True)
class Granted:
    """Figures of one session, as the server revised them (Part 4, 5.6.2, 5.12.2, 5.13.2); 0 for what there is not."""

    session_timeout_ms: float = 0.0
    publishing_ms: float = 0.0
    """The slowest subscription's."""
    sampling_ms: float = 0.0
    """The slowest monitored item's."""
    queue_size: int = 0
    """The shortest one's."""
    _differences: Counter[tuple[str, float, float]] = field(default_factory=Counter)

    def session(self, asked_ms: float, granted_ms: float) -> None:
        """Record how long the server keeps a silent session."""
        self.session_timeout_ms = granted_ms if math.isfinite(granted_ms) else 0.0
        self._compare("session_timeout", asked_ms, granted_ms)

    def subscription(self, asked_ms: float, granted_ms: float) -> None:
        """Record the publishing interval of a subscription."""
        self.publishing_ms = max(self.publishing_ms, granted_ms)
        self._compare("interval", asked_ms, granted_ms)

    def item(self, asked_ms: float, granted_ms: float, asked_samples: int, granted_samples: int) -> None:
        """Record the sampling interval and the queue of a monitored item."""
        if math.isfinite(granted_ms):
            self.sampling_ms = max(self.sampling_ms, granted_ms)
        self.queue_size = min(self.queue_size or granted_samples, granted_samples)
        self._compare("sampling", asked_ms, granted_ms)
        self._compare("queue_size", asked_samples, granted_samples)

    def _compare(self, key: str, asked: float, granted: float) -> None:
        if math.isfinite(granted) and not math.isclose(asked, granted, rel_tol=_SAME):
            self._differences[key, asked, granted] += 1

    def differences(self) -> dict[str, str]:
        """Return what is other than asked, by key of the configuration: `{"sampling": "250 ms -> 5000 ms (12 times)"}`."""
        found: dict[str, str] = {}
        for (key, asked, granted), count in self._differences.most_common():
            unit = "" if key == "queue_size" else " ms"
            many = f" ({count} times)" if count > 1 else ""
            found.setdefault(key, f"{asked:g}{unit} -> {granted:g}{unit}{many}")
        return found
