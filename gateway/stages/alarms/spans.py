"""The span of values that each tag has shown: bands in percent of tags without a range rest on it."""

import numpy as np

from gateway.core.blocks import Mask, Qualities, Rows, Values
from gateway.core.quality import USABLE_FROM
from gateway.stages.alarms.conditions import Conditions
from gateway.stages.alarms.segments import highest


class SpansSeen:
    """The lowest and the highest finite value of each tag so far, as far as a row needs it.

    Attributes:
        low, high: float64[tags]; inf and -inf before the first value.
        needed: bool[tags].
        any_needed: whether there is one.
    """

    def __init__(self, conditions: Conditions) -> None:
        """Begin without any value."""
        tags = len(conditions.table)
        self._conditions = conditions
        self.low, self.high = np.full(tags, np.inf), np.full(tags, -np.inf)
        self.needed = np.zeros(tags, np.bool_)
        self.needed[conditions.tag[conditions.share > 0]] = True
        self.any_needed = bool(self.needed.any())

    def bands(self, row: Rows, value: Values, is_second: Mask, begins: Mask) -> Values:
        """Return the band at each place: values in segments by row. is_second: values of the second tag do not count."""
        conditions = self._conditions
        band, share = conditions.band[row], conditions.share[row]
        wanted = np.flatnonzero(share > 0)
        if wanted.size:
            own, tag, part = row[wanted], conditions.tag[row[wanted]], share[wanted]
            counts = np.isfinite(value[wanted]) & ~is_second[wanted]
            high = highest(np.where(counts, value[wanted], -np.inf), begins[wanted], self.high[tag])
            low = -highest(np.where(counts, -value[wanted], -np.inf), begins[wanted], -self.low[tag])
            span = np.where(high >= low, part * high - part * low, 0.0)
            band[wanted] = np.minimum(band[wanted] + span, conditions.most_band[own])
        return band

    def record(self, tag: Rows, value: Values, quality: Qualities) -> Rows:
        """Take samples; returns the tags whose span has grown."""
        grows = (value > self.high[tag]) | (value < self.low[tag])
        grows &= self.needed[tag] & (quality >= USABLE_FROM) & np.isfinite(value)
        tag, value = tag[grows], value[grows]
        np.maximum.at(self.high, tag, value)
        np.minimum.at(self.low, tag, value)
        return tag
