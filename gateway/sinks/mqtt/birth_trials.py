"""Births with which a broker may end connections, and when each is tried again. Pure: time is passed in."""

from dataclasses import dataclass, field
from typing import Final

from gateway.core.retry_timer import DoublingDelay

_LEAST_SPAN_S: Final = 120.0
_FIRST_TRIAL_S, _LONGEST_TRIAL_S = 5.0, 300.0


@dataclass(slots=True)
class _Blamed:
    since: float
    """The first end, monotonic seconds."""
    count: int = 0
    """Connections that ended with it alone in flight."""
    due: float = 0.0
    """When it is tried again, monotonic seconds."""
    delay: DoublingDelay = field(default_factory=lambda: DoublingDelay(_FIRST_TRIAL_S, _LONGEST_TRIAL_S))


class BirthTrials:
    """What is held against births, by topic."""

    def __init__(self, tries: int) -> None:
        """Blame nothing yet. tries: connections that a birth may end before it is left out."""
        self._tries = tries
        self._blamed: dict[str, _Blamed] = {}
        self.status_delay = DoublingDelay(_FIRST_TRIAL_S, _LONGEST_TRIAL_S)
        """How long a status that ends connections waits."""

    @property
    def blamed(self) -> frozenset[str]:
        """Return the topics that are tried last."""
        return frozenset(self._blamed)

    def next_trial(self) -> tuple[str, float]:
        """Return the topic that is tried next, and when. Raises ValueError where none is blamed."""
        topic = min(self._blamed, key=lambda one: self._blamed[one].due)
        return topic, self._blamed[topic].due

    def passed(self, topic: str) -> None:
        """Hold nothing against a topic any more."""
        self._blamed.pop(topic, None)

    def broken(self, topic: str, now: float, reason: str) -> str:
        """Record that a connection has ended with it alone. Returns why it is to be left out; empty while it is not."""
        one = self._blamed.setdefault(topic, _Blamed(now))
        one.count += 1
        one.due = now + one.delay.next_s()
        span_s = now - one.since
        if one.count < self._tries or span_s < _LEAST_SPAN_S:
            return ""
        return f"sending it ended the connection {one.count} times in {span_s:.0f} s; at last: {reason}"
