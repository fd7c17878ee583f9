"""Which of several brokers is tried first, and when to go back to a better one. Pure: time is monotonic seconds."""

from typing import Final

from gateway.core.retry_timer import DoublingDelay

_STABLE_S: Final = 30.0
_MOST_RETURN_S: Final = 3600.0


class BrokerList:
    """The configured brokers by number, 0 the preferred one.

    After a loss they are tried in order from the first; when the connection was a short one, from the one after it: a broker
    that accepts and hangs up again must not keep the gateway from the others. Who walks from one to the next (`move_on`)
    knows better than a probe where to be, and so is not called back as long as the connection holds.
    """

    def __init__(self, count: int, return_after_s: float) -> None:
        self._count = count
        self._return_wait = DoublingDelay(return_after_s, _MOST_RETURN_S)
        self._first = 0
        self._now_at = 0
        self._since = 0.0
        self._reachable_since: dict[int, float] = {}
        self._returning = self._moving = self._walking = False

    @property
    def order(self) -> list[int]:
        """All brokers in the order in which to try them now."""
        return [(self._first + number) % self._count for number in range(self._count)]

    @property
    def preferred(self) -> range:
        """Those that are preferred to the one connected to: to be probed now and then."""
        return range(0 if self._walking else self._now_at)

    def move_on(self) -> None:
        """Begin with the next one: the one connected to is of no use."""
        self._first = (self._now_at + 1) % self._count
        self._moving = True

    def connected(self, number: int, now: float) -> None:
        """Record that a broker has accepted.

        One more return that did not succeed makes the next wait twice as long, up to an hour.
        """
        if self._returning:
            if number == self._first:
                self._return_wait.reset()
            else:
                self._return_wait.double()
        self._returning = False
        self._walking, self._moving = self._moving, False
        self._now_at, self._since = number, now
        self._reachable_since.clear()

    def lost(self, now: float) -> None:
        """Record that the connection has ended."""
        if not self._returning and not self._moving:
            short = now - self._since < _STABLE_S
            self._first = (self._now_at + 1) % self._count if short else 0

    def probed(self, number: int, reachable: bool, now: float) -> bool:
        """Record the outcome of a probe. Returns True when it has been reachable for long enough to go there."""
        if not reachable:
            self._reachable_since.pop(number, None)
            return False
        since = self._reachable_since.setdefault(number, now)
        if now - since < self._return_wait.current_s:
            return False
        self._first, self._returning = number, True
        return True
