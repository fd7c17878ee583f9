"""What a tag usually does at each time of the day."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gateway.core.blocks import Mask, Values

Floats = NDArray[np.float32]
BINS: Final = 48
DAYS: Final = 5
"""Days that have to be known before a difference from the profile says something."""
_WEIGHT: Final = 0.2
"""Share of the newest day in the profile, once it is known."""


class DayProfile:
    """Mean of each half hour of the day (UTC) of each tag, the last days weighing most."""

    def __init__(self, tags: int) -> None:
        """Begin without knowledge."""
        self._tags = tags
        self._all = np.arange(tags)
        self.usual = np.zeros((BINS, tags), np.float32)
        self.days = np.zeros((BINS, tags), np.uint8)
        self.bin = np.full(tags, -1, np.int8)
        self.total, self.total_steps = np.zeros(tags, np.float32), np.zeros(tags, np.float32)
        self.judged = np.zeros(tags, np.int32)

    def columns(self) -> dict[str, NDArray[Any]]:
        """Return all that is kept of the tags."""
        return {name: getattr(self, name) for name in ("usual", "days", "bin", "total", "total_steps", "judged")}

    def shift(self, shift: Floats) -> None:
        """Move what is known to another centre."""
        self.usual -= shift
        self.total -= shift * self.total_steps

    def add(self, time_s: Values, value: Floats, here: Mask, learn: Mask) -> tuple[Floats, Mask, Floats]:
        """Add a value and return its difference from the usual one, where that is known, and its least weight."""
        bins = (time_s % 86400 // (86400 / BINS)).astype(np.int8)
        self._finish(bins, here)
        learned = here & learn
        self.total += np.where(learned, value, 0)
        self.total_steps += learned
        usual = self.usual[bins, self._all]
        known = here & (self.days[bins, self._all] >= DAYS)
        self.judged += known
        share = (1 / np.maximum(self.judged, 1)).astype(np.float32)
        return np.where(known, value - usual, 0).astype(np.float32), known, share

    def _finish(self, bins: NDArray[np.int8], here: Mask) -> None:
        """Take the half hour that has ended into the profile."""
        ended = here & (bins != self.bin)
        if not ended.any():
            return
        rows = np.flatnonzero(ended & (self.total_steps > 0))
        place = self.bin[rows]
        mean, before, days = self.total[rows] / self.total_steps[rows], self.usual[place, rows], self.days[place, rows]
        self.usual[place, rows] = before + np.maximum(_WEIGHT, 1 / (days + 1.0)) * (mean - before)
        self.days[place, rows] = np.minimum(days, DAYS) + 1
        self.total[ended], self.total_steps[ended] = 0, 0
        self.bin[ended] = bins[ended]
