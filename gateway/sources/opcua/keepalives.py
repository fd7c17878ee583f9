"""A subscription that owes us a sign of life (OPC UA Part 4, 5.13.1.1)."""

from typing import Final

from gateway.core.clock import Clock
from gateway.sources.opcua.connection import Connection, Unanswered

SILENT_KEEPALIVES: Final = 3
AFTER_STALL_S: Final = 0.25
"""Where this process stood still, what the server has said meanwhile is read before it is called silent."""


class Keepalives:
    """Told when a notification is waited for and when one has come, keep-alives too."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiting_since: float | None = None

    def wait(self) -> None:
        """From now on the server should say something."""
        self._waiting_since = self._clock.monotonic()

    def heard(self) -> None:
        """It has."""
        self._waiting_since = None

    async def run(self, connection: Connection) -> None:
        """Raises Unanswered when the server has been silent for too long."""
        limit_s = SILENT_KEEPALIVES * connection.keepalive_s
        while True:
            since = self._waiting_since
            silent_s = 0.0 if since is None else self._clock.monotonic() - since
            if silent_s >= limit_s:
                await self._clock.sleep(AFTER_STALL_S)
                if self._waiting_since != since:
                    continue
                raise Unanswered(f"the subscription has been silent for {silent_s:.1f} s")
            await self._clock.sleep(limit_s - silent_s)
