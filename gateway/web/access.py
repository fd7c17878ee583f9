"""Wrong tokens that were shown: counted, and reported as events without letting anybody flood the journal."""

from collections.abc import Callable
from typing import Final

from gateway.core.clock import Clock
from gateway.core.events.event import Event
from gateway.core.events.security import SecurityEvent
from gateway.core.plural import counted

_BETWEEN_S: Final = 60.0
_MOST_PEERS: Final = 5


class AccessRefusals:
    """The first wrong token is an event at once; those within a minute of an event are counted and named in the next one."""

    def __init__(self, clock: Clock, report: Callable[[Event], None]) -> None:
        """report: publishes an event."""
        self._clock = clock
        self._report = report
        self._reported_s = float("-inf")
        self._count = 0
        self._peers: dict[str, None] = {}

    def refused(self, peer: str) -> None:
        """Count a wrong token. peer: the address of whoever has shown it."""
        self._count += 1
        if len(self._peers) <= _MOST_PEERS:
            self._peers[peer] = None
        if self._clock.monotonic() - self._reported_s < _BETWEEN_S:
            return
        named = [one for one in self._peers if one][:_MOST_PEERS]
        more = " and others" if len(self._peers) > _MOST_PEERS else ""
        reason = f"{counted(self._count, 'wrong token')} shown" + (f" by {', '.join(named)}{more}" if named else "")
        self._report(
            SecurityEvent(
                time_ns=self._clock.now_ns(),
                what="access_refused",
                source="web",
                result="refused",
                reason=f"{reason}; if that was nobody of yours, renew the file that web.token_file names",
            )
        )
        self._reported_s, self._count = self._clock.monotonic(), 0
        self._peers.clear()
