"""What one connection has counted and measured."""

from dataclasses import dataclass


@dataclass(slots=True)
class Traffic:
    """Kept by a `Connection`, read by its source. Durations in ms, the last one measured each; 0 before the first.

    republished: notifications that were asked for again with success. undecoded: those that could not be read.
    publish_ms: from a publish request to its answer, which a server gives when it has something to say. round_trip_ms: of a
    read of one value. delay_ms: from the notification's publish time to our receipt, by two clocks; clock_ms: how far the
    server's clock is ahead of ours.
    """

    republished: int = 0
    undecoded: int = 0
    publish_ms: float = 0.0
    round_trip_ms: float = 0.0
    delay_ms: float = 0.0
    clock_ms: float = 0.0

    def compare_clocks(self, server_ns: int, received_ns: int) -> None:
        """An answer with the server's time, 0 where it does not say."""
        if server_ns:
            self.clock_ms = (server_ns - received_ns) / 1e6
