"""What the times of requests and replies say of a device that does not answer: which setting would help. No I/O."""

from math import ceil
from typing import Final

_AT_ONCE_S: Final = 0.05
"""A request that comes so soon after a reply may be too soon."""
_BARREN: Final = 2
_MOST_DISPROOFS: Final = 3
_CONNECT_TRIAL_S: Final = 1.0
_TURNAROUND_TRIAL_S: Final = 0.1

Key = tuple[int, bytes]
"""Unit and PDU of a request."""


class Pacing:
    """Finds out by trying whether a device wants pauses.

    Some answer no request that follows a reply at once, some nothing on a connection on which they were asked too soon.
    Where it looks like that, a pause is made; what is answered then and was not before is the proof, and the pause is kept.

    Attributes:
        late_s: By unit, how long after its request the last late reply came, seconds.
        advice: Which setting has been proved to help, for people.
    """

    def __init__(self) -> None:
        self.late_s: dict[int, float] = {}
        self.advice = ""
        self._replied_s = -1.0
        self._sent: tuple[Key, bool, bool] | None = None
        self._missed: set[Key] = set()
        self._quick_replies = self._disproofs = 0
        self._barren = 0
        self._is_connect_trial = False

    def on_opened(self) -> None:
        """Record a new connection."""
        self._barren += 1
        self._replied_s = -1.0

    def connect_pause_s(self) -> float:
        """Return how long to wait after connecting, seconds: after two connections without a reply on every second one."""
        proved = self.advice.startswith(_CONNECT)
        self._is_connect_trial = proved or (self._barren > _BARREN and self._barren % 2 == 1)
        return _CONNECT_TRIAL_S if self._is_connect_trial else 0.0

    def turnaround_s(self, now_s: float) -> float:
        """Return how long the next request has to wait, seconds."""
        is_trial = bool(self._missed) and not self._quick_replies and self._disproofs < _MOST_DISPROOFS
        if not is_trial and not self.advice.startswith(_TURNAROUND):
            return 0.0
        return max(0.0, self._replied_s + _TURNAROUND_TRIAL_S - now_s) if self._replied_s >= 0 else 0.0

    def on_sent(self, unit: int, pdu: bytes, now_s: float, *, is_alone: bool) -> None:
        """Record a request. is_alone: no other waits for its reply."""
        gap_s = now_s - self._replied_s if self._replied_s >= 0 else 10.0
        self._sent = ((unit, pdu), gap_s < _AT_ONCE_S, gap_s < 4 * _TURNAROUND_TRIAL_S) if is_alone else None

    def on_answered(self, now_s: float) -> None:
        """Record the reply to it."""
        if self._is_connect_trial and self._barren > _BARREN:
            self.advice = f"{_CONNECT}: add connect_pause=1s to url"
        self._replied_s, self._barren = now_s, 0
        if self._sent is not None:
            key, is_quick, is_soon = self._sent
            self._quick_replies += is_quick
            if is_soon and not is_quick and key in self._missed and not self._quick_replies:
                self.advice = f"{_TURNAROUND}: add turnaround=100ms to url"
            self._missed.discard(key)

    def on_unanswered(self) -> None:
        """Record that it was not answered."""
        if self._sent is None:
            return
        key, is_quick, _ = self._sent
        if is_quick and len(self._missed) < _MOST_DISPROOFS:
            self._missed.add(key)
        elif key in self._missed:  # not after a pause either: it is something else
            self._disproofs += 1

    def cure(self, unit: int, timeout_s: float) -> str:
        """Return in words which timeout would have been enough, "" when nothing is known."""
        late_s = self.late_s.get(unit, 0.0)
        return (
            f"replies come {late_s:.2g} s after the request: set timeout to {_generous(late_s)}"
            if late_s > timeout_s
            else ""
        )


_CONNECT: Final = "it answers only when the first request waits after connecting"
_TURNAROUND: Final = "it answers no request that follows a reply at once"


def _generous(late_s: float) -> str:
    """Return about twice the time, as a duration."""
    return f"{ceil(2 * late_s)}s" if late_s > 0.5 else f"{ceil(20 * late_s) * 100}ms"
