"""A subscription that owes us a sign of life (OPC UA Part 4, 5.13.1.1)."""

from typing import Final

from gateway.core.clock import Clock
from gateway.sources.opcua.port.adaptive_timeout import AFTER_STALL_S, Patience
from gateway.sources.opcua.port.errors import Unanswered
from gateway.sources.opcua.port.session import Connection

SILENT_KEEPALIVES: Final = 3


class Keepalives:
    """Told when a notification is waited for and when one has come, keep-alives too."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiting_since: float | None = None

    def wait(self) -> None:
        """From now on the server should say something."""
        self._waiting_since = self._clock.monotonic()

    def heard(self) -> float:
        """It has, after so many seconds."""
        since, self._waiting_since = self._waiting_since, None
        return 0.0 if since is None else self._clock.monotonic() - since

    async def run(self, connection: Connection, patience: Patience) -> None:
        """Raises Unanswered when the server has been silent for too long."""
        while True:
            limit_s = SILENT_KEEPALIVES * connection.keepalive_s * patience.stretch
            since = self._waiting_since
            silent_s = 0.0 if since is None else self._clock.monotonic() - since
            if silent_s >= limit_s:
                await self._clock.sleep(AFTER_STALL_S)
                if self._waiting_since != since:
                    continue
                raise Unanswered(f"the subscription has been silent for {silent_s:.1f} s")
            await self._clock.sleep(limit_s - silent_s)
