"""Whether a subscription is alive, and how long its connection has served (OPC UA Part 4, 5.13.1.1)."""

import asyncio
from collections.abc import Sequence
from typing import Final

from gateway.core.clock import Clock
from gateway.sources.opcua.port.adaptive_timeout import AFTER_STALL_S, AdaptiveTimeout
from gateway.sources.opcua.port.errors import Unanswered
from gateway.sources.opcua.port.session import Session

SILENT_KEEPALIVES: Final = 3
"""A subscription that misses so many keep-alives in a row is lost."""


class Liveness:
    """Signs of life of one connection: notifications (keep-alives too) and answered polls."""

    def __init__(self, connection: Session, timeout: AdaptiveTimeout, clock: Clock) -> None:
        """Begin at the moment when the connection is opened. timeout: learns from what comes."""
        self.has_received = asyncio.Event()
        """A notification has come since the connection was opened, be it a keep-alive."""
        self._connection = connection
        self._timeout = timeout
        self._clock = clock
        self.restart()

    def restart(self) -> None:
        """Begin anew: the session was taken over by a new connection."""
        self.has_received.clear()
        self._opened_s = self._received_s = self._clock.monotonic()
        self._waiting_since_s: float | None = None

    def on_wait(self) -> None:
        """Record that the next notification is waited for."""
        self._waiting_since_s = self._clock.monotonic()

    def on_notification(self) -> None:
        """Record that a notification has come."""
        since_s, self._waiting_since_s = self._waiting_since_s, None
        self._received_s = self._clock.monotonic()
        waited_s = 0.0 if since_s is None else self._received_s - since_s
        self._timeout.record_notification(waited_s - self._connection.keepalive_s)
        self.has_received.set()

    def on_poll(self) -> None:
        """Record that a poll was answered."""
        self._timeout.confirm()
        self._received_s = self._clock.monotonic()

    def served_s(self, errors: Sequence[BaseException]) -> float:
        """Return how long the connection served until these errors ended it; the wait for a last answer is no service."""
        return (self._received_s if is_unanswered(errors) else self._clock.monotonic()) - self._opened_s

    async def run(self) -> None:
        """Watch the keep-alives for ever. Raises Unanswered when the subscription has been silent for too long."""
        while True:
            limit_s = SILENT_KEEPALIVES * self._connection.keepalive_s * self._timeout.stretch
            since_s = self._waiting_since_s
            silent_s = 0.0 if since_s is None else self._clock.monotonic() - since_s
            if silent_s >= limit_s:
                await self._clock.sleep(AFTER_STALL_S)
                if self._waiting_since_s != since_s:
                    continue
                raise Unanswered(f"the subscription has been silent for {silent_s:.1f} s")
            await self._clock.sleep(limit_s - silent_s)


def is_unanswered(errors: Sequence[BaseException]) -> bool:
    """Return whether a connection ended because the server did not answer."""
    return any(isinstance(one, Unanswered) for one in errors)
