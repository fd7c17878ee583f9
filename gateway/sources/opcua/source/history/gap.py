"""One gap: a time that a server was away, per row from which source time to which. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gateway.core.blocks import Mask, Times

MOST_BREAKS: Final = 3
"""Connections that may end while a row is asked for; then it is given up."""


@dataclass(slots=True, eq=False)
class Gap:
    """One time that a server was away. All times are source times in ns."""

    after: Times
    """int64[rows]: the last value before; what lies between is missing, nothing where this is 0 or not smaller."""
    before: Times
    """int64[rows]: the first value after."""
    counts: NDArray[np.int64]
    """Samples read back so far, per row."""
    skipped_from_ns: int = 0
    """Where the span begins that may have been handed on before a crash, or not, and is not read back."""
    skipped_ns: int = 0
    """How long that span is."""
    number: int = 0
    """Its own among all gaps of a device, over restarts."""
    is_resumed: bool = False
    """An earlier run has begun to read it back, or could have."""
    is_open: bool = False
    """Its end is not known yet."""
    is_reported: bool = False
    aside: dict[int, int] = field(default_factory=dict)
    """Rows that the server refused to read, with the status: not asked for until `retry`."""
    truncated: set[int] = field(default_factory=set)
    """Rows given up although the server may have more of them."""
    lent: "LentSlice | None" = None
    """A slice that waits to be handed on."""
    breaks: dict[int, int] = field(default_factory=dict)
    """How often the connection ended while a row was asked for, nothing read of it since."""

    def bound(self, oldest_ns: int) -> int:
        """Give up what is older than `oldest_ns`. Returns how much that is of the row of which it is most, ns."""
        missing = self._missing
        lost = np.minimum(self.before, oldest_ns) - self.after
        self.after = np.where(self.after > 0, np.maximum(self.after, oldest_ns), 0)
        return max(0, int(lost[missing].max(initial=0)))

    @property
    def _missing(self) -> Mask:
        missing: Mask = (self.after > 0) & (self.before > self.after + 1)
        return missing

    def unread(self, most: int) -> list[int]:
        """Return rows of which something is missing and of which fewer than `most` samples were read back."""
        rows: list[int] = np.flatnonzero(self._missing & (self.counts < most)).tolist()
        return rows

    def rows(self, most: int) -> list[int]:
        """Return those of them that may be asked for."""
        return [row for row in self.unread(most) if row not in self.aside]

    def skip(self, rows: Sequence[int]) -> None:
        """Give these rows up: the server has nothing of them."""
        self.after[list(rows)] = 0

    def cut(self, rows: Sequence[int]) -> None:
        """Give these rows up, although the server may have more of them."""
        self.truncated.update(rows)
        self.skip(rows)

    def record_break(self, rows: Sequence[int]) -> None:
        """Record that the connection ended while these were asked for.

        Each is asked for alone next time; one that was alone twice is given up.
        """
        for row in rows:
            self.breaks[row] = self.breaks.get(row, 0) + 1
        self.cut([row for row in rows if self.breaks[row] >= MOST_BREAKS])

    def apart(self, rows: Sequence[int]) -> tuple[list[int], list[int]]:
        """Return the rows to be asked for together, and those to be asked for alone."""
        return [row for row in rows if row not in self.breaks], [row for row in rows if row in self.breaks]

    def skip_span(self, from_ns: int, to_ns: int) -> None:
        """Skip this span, which may have been handed on, and all between it and what was skipped before."""
        if to_ns > from_ns:
            begin_ns, end_ns = self.skipped_from_ns, self.skipped_from_ns + self.skipped_ns
            self.skipped_from_ns = min(begin_ns, from_ns) if self.skipped_ns else from_ns
            self.skipped_ns = max(end_ns, to_ns) - self.skipped_from_ns

    def mark_reported(self) -> None:
        """Record that what is skipped is reported."""
        self.is_reported, self.skipped_from_ns, self.skipped_ns = True, 0, 0

    def wanted(self, row: int, times: Times, end_ns: int) -> Mask:
        """Return which of these times lie in the row's gap and before `end_ns`."""
        wanted: Mask = (times > self.after[row]) & (times < min(int(self.before[row]), end_ns))
        return wanted

    def advance(self, rows: Sequence[int], to_ns: int) -> None:
        """Record that everything up to `to_ns` (exclusive) is read back; of skipped rows nothing is."""
        after = self.after[list(rows)]
        self.after[list(rows)] = np.where(after > 0, np.maximum(after, to_ns - 1), 0)

    def lend(self, rows: Sequence[int], start_ns: int, to_ns: int, counts: dict[int, int]) -> None:
        """Record that a slice is read and waits to be handed on: `advance`, unless `return_lent` takes that back."""
        self.lent = LentSlice(list(rows), self.after[list(rows)], start_ns, to_ns, counts)
        self.advance(rows, to_ns)
        for row, count in counts.items():
            self.counts[row] += count

    def return_lent(self, left: int, of: int) -> None:
        """Take back a slice of which `left` of `of` parts were not handed on when the connection ended.

        Where all are left, it is missing still; where some are, nobody can say of what, and it is skipped.
        """
        lent, self.lent = self.lent, None
        if lent is None or not left:
            return
        if left < of:
            self.skip_span(lent.start_ns, lent.to_ns)
            return
        self.after[lent.rows] = lent.after
        for row, count in lent.counts.items():
            self.counts[row] -= count

    def retry(self) -> None:
        """Ask for refused rows once more."""
        self.aside.clear()


@dataclass(frozen=True, slots=True, eq=False)
class LentSlice:
    """A slice of a gap that is read and not yet known to be handed on."""

    rows: list[int]
    after: Times
    """Of these rows, before the slice."""
    start_ns: int
    to_ns: int
    counts: dict[int, int]
