"""Counters and durations of one session."""

from dataclasses import dataclass, field

from gateway.sources.opcua.port.granted import Granted


@dataclass(slots=True)
class Traffic:
    """Kept by a `Session`, read by its source. Durations are the last one measured each, 0 before the first."""

    republished: int = 0
    """Notifications that were sent again on request."""
    undecoded: int = 0
    """Notifications that could not be decoded."""
    publish_ms: float = 0.0
    """From a publish request to its response, which a server gives when there is something to send."""
    round_trip_ms: float = 0.0
    """Of a read of one value."""
    delay_ms: float = 0.0
    """From the publish time of a notification to its receipt, by two clocks."""
    clock_ms: float = 0.0
    """How far the server's clock is ahead of ours."""
    granted: Granted = field(default_factory=Granted)
    """What the server granted of what it was asked for."""

    def compare_clocks(self, server_ns: int, received_ns: int) -> None:
        """Record the server's time in an answer, 0 where it does not say, and the time of its receipt."""
        if server_ns:
            self.clock_ms = (server_ns - received_ns) / 1e6
