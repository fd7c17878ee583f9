"""The figures that are published about one server's connection."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from gateway.sources.opcua.port.traffic import Traffic
from gateway.sources.opcua.status.codes import status_name

_STATUS_KEYS: Final = 5
_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


@dataclass(slots=True)
class Statistics:
    """Counts since the start of the process."""

    values: int = 0
    """Data values received or read."""
    events: int = 0
    """Events published."""
    history: int = 0
    """Values read back from the server's history."""
    lost: int = 0
    """Notifications, samples or events that are known to be lost."""
    overflows: int = 0
    """Values with the overflow bit: the server's queue was full before them (Part 4, 7.39)."""
    connects: int = 0
    """Connections, also those that took over a session."""
    republished: int = 0
    """Notifications that had to be asked for again, of closed connections."""
    _opened_s: float | None = None
    _revised: Mapping[str, str] = field(default_factory=dict)

    def on_opened(self, now_s: float) -> None:
        """Record that a session is open."""
        self.connects += 1
        self._opened_s = now_s

    def is_revised(self, differences: Mapping[str, str]) -> bool:
        """Return whether the server grants other than asked, and other than it did in the session before."""
        before, self._revised = self._revised, differences
        return bool(differences) and differences != before

    def on_closed(self, traffic: Traffic) -> None:
        """Record that it is closed. traffic: its counters, whose republished notifications are taken over."""
        self._opened_s = None
        self.republished += traffic.republished
        traffic.republished = 0

    def report(self, url: str, traffic: Traffic | None, bad: Counter[int], now_s: float) -> dict[str, float | str]:
        """Return the figures by their published names.

        traffic: of the open connection, None where there is none. bad: items by the bad status that they have at present.
        """
        open_s = 0.0 if self._opened_s is None else now_s - self._opened_s
        traffic = traffic or Traffic()
        return {
            "session": "closed" if self._opened_s is None else "open",
            "session_age_s": round(open_s, 1),
            "server": url,
            "connects": self.connects,
            "reconnects": max(0, self.connects - 1),
            "values": self.values,
            "events": self.events,
            "history": self.history,
            "lost": self.lost,
            "queue_overflows": self.overflows,
            "republished": self.republished + (0 if self._opened_s is None else traffic.republished),
            "publish_ms": round(traffic.publish_ms, 1),
            "round_trip_ms": round(traffic.round_trip_ms, 1),
            "notification_delay_ms": round(traffic.delay_ms, 1),
            "clock_offset_ms": round(traffic.clock_ms, 1),
            "session_timeout_ms": round(traffic.granted.session_timeout_ms, 1),
            "publishing_interval_ms": round(traffic.granted.publishing_ms, 1),
            "sampling_interval_ms": round(traffic.granted.sampling_ms, 1),
            "queue_size": traffic.granted.queue_size,
            "bad_nodes": bad.total(),
        } | by_status(bad)


def by_status(bad: Counter[int]) -> dict[str, float | str]:
    """Return the most frequent statuses as `bad_node_id_unknown` and so on."""
    return {_key(status): count for status, count in bad.most_common(_STATUS_KEYS)}


def _key(status: int) -> str:
    name = status_name(status)
    return _WORD.sub("_", name).lower() if name.startswith("Bad") else f"bad_{name}"
