"""What is counted and measured of one device."""

from dataclasses import dataclass, field

_SHARE = 1 / 16
"""How much the newest round trip counts in the mean."""


@dataclass(slots=True)
class ConnectionCounters:
    """Counts of a connection or bus with all its units, since the start."""

    connects: int = 0
    requests: int = 0
    busy_s: float = 0.0
    """How long requests were under way on it, seconds."""

    def stats(self) -> dict[str, float | str]:
        """Return the counts under the names of `Source.stats`."""
        return {
            "connection_connects": self.connects,
            "connection_requests": self.requests,
            "connection_busy_s": round(self.busy_s, 3),
        }


@dataclass(slots=True)
class Counters:
    """Counts of one device since the start."""

    requests: int = 0
    timeouts: int = 0
    bad_replies: int = 0
    overruns: int = 0
    """Turns that were skipped because they came too late."""
    exceptions: dict[int, int] = field(default_factory=dict)
    round_trip_s: float = 0.0
    """Mean, weighted to the newest, seconds."""
    longest_s: float = 0.0

    def record_exception(self, code: int) -> None:
        """Count an exception reply."""
        self.exceptions[code] = self.exceptions.get(code, 0) + 1

    def record_reply(self, took_s: float) -> None:
        """Measure a reply of any kind. took_s: its round trip, seconds."""
        self.round_trip_s += (took_s - self.round_trip_s) * (_SHARE if self.round_trip_s else 1.0)
        self.longest_s = max(self.longest_s, took_s)

    def stats(self) -> dict[str, float | str]:
        """Return the counts under the names of `Source.stats`; exceptions by code, such as `exceptions_2`."""
        found: dict[str, float | str] = {
            "requests": self.requests,
            "timeouts": self.timeouts,
            "bad_replies": self.bad_replies,
            "exceptions": sum(self.exceptions.values()),
            "overruns": self.overruns,
            "round_trip_ms": round(self.round_trip_s * 1e3, 3),
            "round_trip_max_ms": round(self.longest_s * 1e3, 3),
        }
        return found | {f"exceptions_{code}": count for code, count in sorted(self.exceptions.items())}
