"""The seam between this source and its protocol library: one session with one server, as roles of few methods."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Protocol

from gateway.core.clock import Clock
from gateway.sources.opcua.config.device import OpcUaDevice
from gateway.sources.opcua.port.adaptive_timeout import AdaptiveTimeout
from gateway.sources.opcua.port.events import Events
from gateway.sources.opcua.port.history import History
from gateway.sources.opcua.port.metadata import Metadata
from gateway.sources.opcua.port.traffic import Traffic
from gateway.sources.opcua.port.values import Values

HEALTHY: Final = 200
"""ServiceLevel from which a server is healthy (Part 4, 6.6.2.4.2)."""


@dataclass(frozen=True, slots=True)
class ServerHealth:
    """What a server says of itself."""

    state: int
    """ServerState (Part 5, 12.6); 0: running."""
    level: int
    """ServiceLevel, 0 to 255 (Part 4, 6.6.2.4.2)."""

    def __str__(self) -> str:
        running = "" if self.is_running else f" and not running (state {self.state})"
        return f"ServiceLevel {self.level}{running}"

    @property
    def is_running(self) -> bool:
        """Return whether the server does its work."""
        return self.state == 0

    @property
    def is_healthy(self) -> bool:
        """Return whether there is no reason to look for another server."""
        return self.is_running and self.level >= HEALTHY


class Session(Protocol):
    """One session with one server, open from `Connect` to `close`. Calls may overlap.

    Every call but `close` raises NotConnected once session, subscription or transport is gone or a request stays unanswered.
    """

    @property
    def values(self) -> Values:
        """Return the role that reads and subscribes."""
        ...

    @property
    def events(self) -> Events:
        """Return the role for events and conditions."""
        ...

    @property
    def history(self) -> History:
        """Return the role that reads history."""
        ...

    @property
    def metadata(self) -> Metadata:
        """Return the role for types, units and structure."""
        ...

    @property
    def keepalive_s(self) -> float:
        """Return how often at least a subscription shows a sign of life (as revised by the server), seconds.

        0 while there is no subscription, because the server has no such service or none was asked for: then nothing can be
        subscribed to, and `Values.next_notification` never returns.
        """
        ...

    check_s: float
    """How often to call `check`, seconds: session and channel live only as long as the server granted."""
    traffic: Traffic
    """Counters and durations of this session."""
    left_behind: bool
    """After `close`: the server was not asked to end the session, so it keeps it, and everything in it, for a while."""

    async def health(self) -> ServerHealth:
        """Ask the server for its state and ServiceLevel. One that does not say counts as running and healthy."""
        ...

    async def check(self) -> int:
        """Prove that the server answers, and renew what expires. To be called every `check_s` seconds.

        Returns the status with which the server refuses to read at all, 0 while it does not.
        """
        ...

    async def resume(self) -> bool:
        """Open again after `close` has left a session behind: the same session over a new channel (Part 4, 6.7).

        Its monitored items are still there; what they queued meanwhile comes as far as the server's queues reach. Returns
        False when the server has forgotten the session; then nothing is open. Raises NotConnected when the server cannot be
        reached; may be called again.
        """
        ...

    async def close(self, *, leave: bool = False) -> None:
        """End the session and free the socket, within about two seconds, whatever state they are in. Never raises.

        leave: do not end the session, because it shall be resumed.
        """
        ...


Connect = Callable[[OpcUaDevice, Clock, AdaptiveTimeout], Awaitable[Session]]
"""Open a session (and in subscribe mode a subscription) with a server. Raises NotConnected; cancellable at once."""
