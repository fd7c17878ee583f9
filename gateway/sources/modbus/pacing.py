"""What the times of requests and replies say of a device that does not answer: which setting would help. No I/O."""

from math import ceil
from typing import Final

_AT_ONCE_S: Final = 0.05
"""A request that comes so soon after a reply, or after connecting, may be too soon."""
_ENOUGH: Final = 2
_TRIAL_S: Final = 1.0


class Pacing:
    """Counts which requests were answered: those that followed a reply at once, those that did not, the first ones.

    Attributes:
        late_s: By unit, how long after its request the last late reply came, seconds.
        advice: That the first request has to wait after connecting, once that has been tried and has helped.
    """

    def __init__(self) -> None:
        self.late_s: dict[int, float] = {}
        self._opened_s = self._replied_s = -1.0
        self.advice = ""
        self._barren = 0
        self._is_trial = False
        self._kind = ""
        self._answered = {"first": 0, "at once": 0, "later": 0}
        self._unanswered = {"first": 0, "at once": 0, "later": 0}

    def on_opened(self, now_s: float) -> None:
        """Record a new connection."""
        self._barren += 1
        self._opened_s, self._replied_s = now_s, -1.0

    def trial_pause_s(self) -> float:
        """Return how long to wait after connecting, seconds.

        Some devices answer nothing on a connection on which they were asked too soon. After two connections without a reply
        every second one waits; when a reply comes over such a one, all later ones do.
        """
        self._is_trial = bool(self.advice) or (self._barren > _ENOUGH and self._barren % 2 == 1)
        return _TRIAL_S if self._is_trial else 0.0

    def on_sent(self, now_s: float, *, is_alone: bool) -> None:
        """Record a request. is_alone: no other waits for its reply."""
        if not is_alone:
            self._kind = ""
        elif self._replied_s < 0:
            self._kind = "first" if now_s - self._opened_s < _AT_ONCE_S else "later"
        else:
            self._kind = "at once" if now_s - self._replied_s < _AT_ONCE_S else "later"

    def on_answered(self, now_s: float) -> None:
        """Record the reply to it."""
        if self._is_trial and self._barren > _ENOUGH:
            self.advice = "it answers only when the first request waits after connecting: add connect_pause=1s to url"
        self._replied_s, self._barren = now_s, 0
        if self._kind:
            self._answered[self._kind] += 1

    def on_unanswered(self) -> None:
        """Record that it was not answered."""
        if self._kind:
            self._unanswered[self._kind] += 1

    def cure(self, unit: int, timeout_s: float) -> str:
        """Return in words what would help, "" when nothing is known."""
        late_s = self.late_s.get(unit, 0.0)
        if late_s > timeout_s:
            return f"replies come {late_s:.2g} s after the request: set timeout to {_generous(late_s)}"
        if self._is_proved("at once"):
            return "it answers no request that follows a reply at once: add turnaround=100ms to url"
        if self._is_proved("first"):
            return "it answers no request right after connecting: add connect_pause=1s to url"
        return ""

    def _is_proved(self, kind: str) -> bool:
        has_never = self._unanswered[kind] >= _ENOUGH and not self._answered[kind]
        return has_never and sum(self._answered.values()) >= _ENOUGH


def _generous(late_s: float) -> str:
    """Return about twice the time, as a duration."""
    return f"{ceil(2 * late_s)}s" if late_s > 0.5 else f"{ceil(20 * late_s) * 100}ms"
