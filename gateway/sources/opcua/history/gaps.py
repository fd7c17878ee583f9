"""What was missed while a server was away: per row from which source time to which. Pure."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gateway.core.blocks import Mask, Times
from gateway.sources.opcua.connection import ValueColumns

MOST_GAPS: Final = 10
MOST_BREAKS: Final = 3
_FIRST_STEP_NS: Final = 1_000_000_000
_WANTED: Final = 50_000


@dataclass(slots=True, eq=False)
class Gap:
    """One time away. after, before: int64[rows], source times in ns of the last value before and the first one after it;
    what lies between is missing, nothing where `after` is 0 or not smaller. counts: samples read back so far, per row."""

    after: Times
    before: Times
    counts: NDArray[np.int64]
    skipped_ns: int = 0
    """So much before it may have been handed on before a crash, or not, and is not read back."""
    breaks: dict[int, int] = field(default_factory=dict)
    """How often the connection ended while a row was asked for, nothing read of it since."""

    def bound(self, oldest_ns: int) -> None:
        """Give up what is older than `oldest_ns`."""
        self.after = np.where(self.after > 0, np.maximum(self.after, oldest_ns), 0)

    def rows(self, most: int) -> list[int]:
        """Rows of which something is missing and of which fewer than `most` samples were read back."""
        missing = (self.after > 0) & (self.before > self.after + 1) & (self.counts < most)
        rows: list[int] = np.flatnonzero(missing).tolist()
        return rows

    def skip(self, rows: Sequence[int]) -> None:
        """Nothing can be had of these rows."""
        self.after[list(rows)] = 0

    def broke(self, rows: Sequence[int]) -> None:
        """The connection ended while these were asked for: each alone next time; one that was alone twice is given up."""
        for row in rows:
            self.breaks[row] = self.breaks.get(row, 0) + 1
        self.skip([row for row in rows if self.breaks[row] >= MOST_BREAKS])

    def apart(self, rows: Sequence[int]) -> tuple[list[int], list[int]]:
        """Those to be asked for together, and those alone."""
        return [row for row in rows if row not in self.breaks], [row for row in rows if row in self.breaks]

    def take(self, row: int, source_ns: Times, end_ns: int, most: int) -> Mask:
        """Which of these values, in time order, lie in the row's gap and before `end_ns`, no more than `most` per row in
        all; these count as read back."""
        wanted: Mask = (source_ns > self.after[row]) & (source_ns < min(int(self.before[row]), end_ns))
        wanted &= np.cumsum(wanted) + self.counts[row] <= most
        self.counts[row] += np.count_nonzero(wanted)
        return wanted

    def advance(self, rows: Sequence[int], to_ns: int) -> None:
        """Everything up to `to_ns` (exclusive) is read back; of skipped rows nothing is."""
        after = self.after[list(rows)]
        self.after[list(rows)] = np.where(after > 0, np.maximum(after, to_ns - 1), 0)


class Gaps:
    """Follows what is received and knows what is missing. All times are source times in ns, 0 for none."""

    def __init__(self, rows: int) -> None:
        self._last = np.zeros(rows, np.int64)
        self._first = np.zeros(rows, np.int64)
        self._put = np.zeros(rows, np.int64)
        self._skipped_ns = 0
        self.taken = np.zeros(rows, np.int64)
        """Of each row, the time up to which everything was handed on by this run."""
        self.waiting: deque[Gap] = deque(maxlen=MOST_GAPS)

    def remember(self, last: Times, skipped_ns: int) -> None:
        """What an earlier run has heard last: before the first `begin`."""
        self._last[:], self._skipped_ns = last, skipped_ns

    def put(self, columns: ValueColumns) -> None:
        """These, which were heard, are now waiting to be handed on."""
        self._put[columns.row] = np.maximum(self._put[columns.row], columns.source_ns)

    def take(self) -> None:
        """All that was waiting is handed on."""
        self.taken[:] = self._put

    @property
    def newest_taken_ns(self) -> int:
        """The newest of the times in `taken`, 0 for none."""
        return int(self.taken.max(initial=0))

    def heard(self, columns: ValueColumns) -> None:
        """The server said this by itself. Values of one row in the order of their times."""
        row, source = columns.row, columns.source_ns
        self._last[row] = np.maximum(self._last[row], source)
        unset = self._first[row] == 0
        if unset.any():
            rows = row[unset][::-1]
            self._first[rows] = source[unset][::-1]  # of equal rows the last one assigned is the first one heard

    def begin(self) -> None:
        """A new connection: what was heard last is where a gap begins."""
        rows = self._last.size
        self._drop_unsettled()
        if self._last.any():
            none = np.zeros(rows, np.int64)
            self.waiting.append(Gap(self._last.copy(), none, none.copy(), self._skipped_ns))
        self._first[:] = 0

    def _drop_unsettled(self) -> None:
        """A connection that was lost at once: the next gap begins where this one does, but for rows that were heard."""
        if self.waiting and not self.waiting[-1].before.any():
            self.waiting[-1].before = self._first.copy()
            if not self._first.any():
                self.waiting.pop()

    def settle(self, now_ns: int) -> None:
        """The new connection has said what holds now: that is where the newest gap ends; where it said nothing, `now_ns`."""
        if self.waiting and not self.waiting[-1].before.any():
            self.waiting[-1].before = np.where(self._first > 0, self._first, now_ns)
            self._skipped_ns = 0


class Steps:
    """How much time to read at once: begins with a second, goes for about 50,000 samples."""

    def __init__(self) -> None:
        self.length_ns = _FIRST_STEP_NS

    def end(self, start_ns: int) -> int:
        """Where the step that begins here ends: at a whole microsecond, the finest that every request can say."""
        return -(-(start_ns + self.length_ns) // 1000) * 1000

    def learn(self, samples: int) -> None:
        """So many came of the last step."""
        factor = min(8.0, max(0.125, _WANTED / max(1, samples)))
        self.length_ns = min(3600_000_000_000, max(_FIRST_STEP_NS, round(self.length_ns * factor)))
