"""Which samples concern which rows."""

import numpy as np

from gateway.core.blocks import Mask, Rows, Values
from gateway.stages.alarms.conditions import OFF_NORMAL, RATE, SIGNED, Conditions
from gateway.stages.alarms.spans import SpansSeen


class Inputs:
    """The rows of each tag, and the values from which on they are of interest.

    Attributes:
        hot: bool[tags], every sample of the tag is of interest: an alarm is active, a delay runs, or it needs all of them.
        any_hot: whether there is one.
    """

    def __init__(self, conditions: Conditions) -> None:
        """Begin with nothing active."""
        tags, rows = len(conditions.table), np.arange(len(conditions))
        self._conditions = conditions
        second = np.flatnonzero(conditions.other >= 0)
        tag = np.r_[conditions.tag, conditions.other[second]]
        order = np.argsort(tag, kind="stable")
        self._rows = np.r_[rows, second][order]
        self._count = np.bincount(tag, minlength=tags).astype(np.intp) if tags else np.zeros(0, np.intp)
        self._begin = np.cumsum(self._count) - self._count
        kind, on = conditions.kind, conditions.on
        self._limit_high, self._limit_low = np.full(tags, np.inf), np.full(tags, -np.inf)
        limits = np.flatnonzero(kind < SIGNED)
        high, low = limits[conditions.sign[limits] > 0], limits[conditions.sign[limits] < 0]
        np.minimum.at(self._limit_high, conditions.tag[high], on[high])
        np.maximum.at(self._limit_low, conditions.tag[low], -on[low])
        self._always = np.zeros(tags, np.bool_)
        whole = np.flatnonzero((kind == RATE) | conditions.is_pair(rows) | (kind == OFF_NORMAL))
        self._always[conditions.tag[whole]] = True
        self._always[conditions.other[second]] = True
        self.hot = self._always.copy()
        self.any_hot = bool(self.hot.any())
        self._high, self._low = self._limit_high.copy(), self._limit_low.copy()

    def concerned(self, tag: Rows, value: Values) -> Mask:
        """Return which samples may change something, by their values alone."""
        beyond = (value >= self._high[tag]) | (value <= self._low[tag])
        if self.any_hot:
            beyond |= self.hot[tag]
        return np.asarray(beyond)

    def decisive(self, tag: Rows, value: Values) -> Mask:
        """Return which samples may change an alarm, and not only the span of their tag."""
        return np.asarray((value >= self._limit_high[tag]) | (value <= self._limit_low[tag]) | self.hot[tag])

    def expand(self, sample: Rows, tag: Rows) -> tuple[Rows, Rows]:
        """Return each of the samples once for each row that it concerns: the samples, and the rows."""
        count = self._count[tag[sample]]
        total = int(count.sum())
        within = np.arange(total) - np.repeat(np.cumsum(count) - count, count)
        return np.repeat(sample, count), self._rows[np.repeat(self._begin[tag[sample]], count) + within]

    def rows_of(self, tags: Rows) -> Rows:
        """Return all rows that rest on any of the tags."""
        return np.unique(self.expand(np.arange(tags.size), tags)[1])

    def heat(self, rows: Rows, is_hot: Mask) -> None:
        """Set which tags are hot after rows have changed, all of their tags' rows among them."""
        tag = self._conditions.tag
        self.hot[tag[rows]] = self._always[tag[rows]]
        self.hot[tag[rows[is_hot]]] = True
        self.any_hot = bool(self.hot.any())

    def watch(self, spans: SpansSeen, tags: Rows) -> None:
        """Let values beyond the spans that these tags have shown be of interest, too."""
        tags = tags[spans.needed[tags]]
        self._high[tags] = np.minimum(self._limit_high[tags], np.nextafter(spans.high[tags], np.inf))
        self._low[tags] = np.maximum(self._limit_low[tags], np.nextafter(spans.low[tags], -np.inf))
