"""Report by exception: which rows of a window are worth sending."""

import numpy as np

from gateway.core.blocks import Mask, Times, Values, WindowBlock
from gateway.core.quality import USABLE_FROM, Quality
from gateway.core.tag_move import TagMove

CONNECT_GRACE_NS = 5_000_000_000
"""How long after the start a tag without a value is not published, because its device is being connected."""

_COLUMNS = {
    "_is_new": True,
    "_connect_grace_end": 0,
    "_sent": np.nan,
    "_sent_at": 0,
    "_quality": 0,
    "_known": False,
}
"""What is known of each tag, and what it is at first."""


class ReportByException:
    """A filter of rows: a tag is sent when a sample of the window is further from the last value sent than its deadband.

    So a subscriber who keeps the last value is never further than the deadband from any real sample. The first window of
    a tag, a change of quality and a silence of `max_silence` always pass; so does every supplement. In the first seconds
    a tag of which nothing at all is known yet, not even that its device is away, is left out.
    """

    def __init__(self, absolute: Values, fraction: Values, max_silence_ns: Times, every: bool = False) -> None:
        """Begin with nothing sent.

        absolute, fraction: float64[tags], the deadband in units and as a part of the last value sent.
        max_silence_ns: int64[tags]. every: pass all windows that have samples.
        """
        self._absolute = absolute
        self._fraction = fraction
        self._max_silence = max_silence_ns
        self._every = every
        tags = absolute.size
        self._is_new: Mask = np.ones(tags, np.bool_)
        self._connect_grace_end = np.zeros(tags, np.int64)
        self._last_grace_end = 0
        self._sent = np.full(tags, np.nan)
        self._sent_at = np.zeros(tags, np.int64)
        self._quality = np.zeros(tags, np.uint8)
        self._known: Mask = np.zeros(tags, np.bool_)

    def take_over(self, other: "ReportByException", move: TagMove) -> None:
        """Go on with what another one has sent of the tags that stay."""
        for name, blank in _COLUMNS.items():
            setattr(self, name, move.moved(getattr(other, name), blank))
        self._last_grace_end = other._last_grace_end

    def select(self, window: WindowBlock, withheld: Mask | None = None) -> WindowBlock:
        """Return the rows to send. `window` has a row for every tag, in order, unless it is late.

        withheld: bool[tags], which tags are not sent with this window.
        """
        if window.late or len(window) < self._sent.size:
            return window
        with np.errstate(over="ignore"):  # a difference beyond float64 is a change like any other
            rows = self._exceptions(window) & (True if withheld is None else ~withheld)
        chosen = window.take(rows)
        usable = chosen.quality >= USABLE_FROM
        self._sent[rows] = np.where(usable, chosen.last, self._sent[rows])
        self._sent_at[rows] = window.start
        self._quality[rows] = chosen.quality
        self._known |= rows
        return chosen

    def _exceptions(self, window: WindowBlock) -> Mask:
        deadband = self._absolute + self._fraction * np.abs(self._sent)
        has_value = window.quality >= USABLE_FROM
        highest = np.where(window.used > 0, window.max, window.last)
        lowest = np.where(window.used > 0, window.min, window.last)
        changed = has_value & ((highest - self._sent > deadband) | (self._sent - lowest > deadband) | np.isnan(self._sent))
        if self._every:
            changed |= window.count > 0
        silence = window.start - self._sent_at
        # A step back of the clock makes the silence negative: its length is unknown, so it counts as too long.
        too_long = (silence >= self._max_silence) | (silence < 0)
        selected: Mask = changed | too_long | ~self._known | (window.quality != self._quality)
        if self._is_new.any():
            self._last_grace_end = window.start + CONNECT_GRACE_NS
            self._connect_grace_end[self._is_new] = self._last_grace_end
            self._is_new[:] = False
        if window.start < self._last_grace_end:
            over = window.start >= self._connect_grace_end
            selected &= self._known | over | (window.quality != Quality.BAD_WAITING)
        return selected
