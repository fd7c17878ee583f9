"""What a server that is going to be killed has written down, and what subscribers were told, value by value.

Values are 1000 x life + k, the same for all nodes; node i has the client handle i. Lines of the file, each written before
the act, so that a SIGKILL takes nothing with it:

    show VALUE SECONDS      all nodes get this value, with this source time
    acked VALUE HANDLES     the client has acknowledged a notification with this value of these client handles
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

PER_LIFE = 1000


class Ledger:
    """shown: source times in seconds by value. acked: values by node, each a set."""

    def __init__(self, path: Path, nodes: int) -> None:
        self._path = path
        self._at = 0
        self.shown: dict[int, float] = {}
        self.acked: list[set[int]] = [set() for _ in range(nodes)]
        self._counts: dict[int, Counter[int]] = defaultdict(Counter)

    def read(self) -> None:
        """What was written since."""
        if not self._path.exists():
            return
        with self._path.open() as file:
            file.seek(self._at)
            while (line := file.readline()).endswith("\n"):
                self._at += len(line)
                what, value, rest = line.split()
                if what == "show":
                    self.shown[int(value)] = float(rest)
                else:
                    self._take(int(value), map(int, rest.split(",")))

    def _take(self, value: int, handles: Iterable[int]) -> None:
        counts = self._counts[value // PER_LIFE]
        for handle in handles:
            if value not in self.acked[handle]:
                self.acked[handle].add(value)
                counts[handle] += 1

    def least(self, life: int) -> int:
        """Of how many values in this life every node's taking was acknowledged."""
        self.read()
        counts = self._counts[life]
        return min(counts.values()) if len(counts) == len(self.acked) else 0

    def last_s(self, life: int) -> float:
        """Source time of a life's last value."""
        return max(at for value, at in self.shown.items() if value // PER_LIFE == life)

    def first_s(self, life: int) -> float:
        """And of its first one."""
        return self.shown[PER_LIFE * life]


class MetricValue:
    """One tag as a subscriber knows it. counted: how often each value stands in the statistics of a window. in_force: values
    that were told as holding, without being counted."""

    def __init__(self) -> None:
        self.counted: Counter[int] = Counter()
        self.in_force: set[int] = set()
        self._words: list[tuple[float, str]] = []

    def word(self, at_s: float) -> str:
        """What the newest row of that time (no supplement) has against the tag, empty for nothing."""
        return max((said for said in self._words if said[0] <= at_s), default=(0.0, ""))[1]

    def take(self, ts_ms: int, row: dict[str, Any], *, late: bool = False) -> None:
        """A row of a window. Fails when its statistics are not those of successive values, each once."""
        assert row["q"] != "bad" or row["reason"] in ("not_connected", "waiting"), row
        if not late:
            self._words.append((ts_ms / 1000, row.get("reason") or ""))
        used = row.get("used", row["good"])
        if not used:
            if row["q"] != "bad" and row["last"] is not None:
                self.in_force.add(round(row["last"]))
            return
        low, high = round(row["min"]), round(row["max"])
        assert used == high - low + 1, row
        assert math.isclose(row["mean"], (low + high) / 2), row
        assert math.isclose(row["std"], math.sqrt((used**2 - 1) / 12), abs_tol=1e-6), row
        assert (row["first"], row["last"]) == (low, high), row
        self.counted.update(range(low, high + 1))


def told_in(windows: Iterable[Any]) -> dict[str, MetricValue]:
    """All tags of a device's windows, by name."""
    tags: dict[str, MetricValue] = defaultdict(MetricValue)
    for payload in windows:
        for name, row in payload["tags"].items():
            tags[name].take(payload["ts"], row, late=payload.get("late", False))
    return tags
