"""What was missed while a server was away: per row from which source time to which. Pure."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gateway.core.blocks import Mask, Times
from gateway.sources.opcua.codec.columns import ValueColumns
from gateway.sources.opcua.port.values import DataValues

MOST_GAPS: Final = 10
MOST_BREAKS: Final = 3
_FIRST_STEP_NS: Final = 1_000_000_000
_WANTED: Final = 50_000


def times_of(columns: ValueColumns) -> Times:
    """When the values were taken, by which a server also keeps them: source times, else its own; 0 where it says neither."""
    return np.where(columns.source_ns > 0, columns.source_ns, columns.server_ns)


def heard_times(values: DataValues, tolerance_ns: int) -> Times:
    """The same for what a server said by itself; 0 where it is later than both clocks by more than the tolerance: by such a
    time nothing can be asked of a history."""
    times = times_of(values.columns)
    return np.where(times <= max(values.received_ns, values.server_clock_ns) + tolerance_ns, times, 0)


@dataclass(slots=True, eq=False)
class Gap:
    """One time away. after, before: int64[rows], source times in ns of the last value before and the first one after it;
    what lies between is missing, nothing where `after` is 0 or not smaller. counts: samples read back so far, per row."""

    after: Times
    before: Times
    counts: NDArray[np.int64]
    skipped_from_ns: int = 0
    skipped_ns: int = 0
    """What was taken from there on for so long may have been handed on before a crash, or not, and is not read back."""
    number: int = 0
    """Its own among all gaps of a device, over restarts."""
    is_resumed: bool = False
    """An earlier run has begun to read it back, or could have."""
    is_open: bool = False
    """Its end is not known yet."""
    is_told: bool = False
    aside: dict[int, int] = field(default_factory=dict)
    """Rows that the server refused to read, with the status: not asked for until `retry`."""
    truncated: set[int] = field(default_factory=set)
    """Rows given up although the server may have more of them."""
    lent: "Lent | None" = None
    breaks: dict[int, int] = field(default_factory=dict)
    """How often the connection ended while a row was asked for, nothing read of it since."""

    def bound(self, oldest_ns: int) -> int:
        """Give up what is older than `oldest_ns`; how much that is of the row of which it is most, in ns."""
        missing = self._missing
        lost = np.minimum(self.before, oldest_ns) - self.after
        self.after = np.where(self.after > 0, np.maximum(self.after, oldest_ns), 0)
        return max(0, int(lost[missing].max(initial=0)))

    @property
    def _missing(self) -> Mask:
        missing: Mask = (self.after > 0) & (self.before > self.after + 1)
        return missing

    def unread(self, most: int) -> list[int]:
        """Rows of which something is missing and of which fewer than `most` samples were read back."""
        rows: list[int] = np.flatnonzero(self._missing & (self.counts < most)).tolist()
        return rows

    def rows(self, most: int) -> list[int]:
        """Those of them that may be asked for."""
        return [row for row in self.unread(most) if row not in self.aside]

    def skip(self, rows: Sequence[int]) -> None:
        """Nothing can be had of these rows."""
        self.after[list(rows)] = 0

    def cut(self, rows: Sequence[int]) -> None:
        """No more is to be had of these rows."""
        self.truncated.update(rows)
        self.skip(rows)

    def broke(self, rows: Sequence[int]) -> None:
        """The connection ended while these were asked for: each alone next time; one that was alone twice is given up."""
        for row in rows:
            self.breaks[row] = self.breaks.get(row, 0) + 1
        self.cut([row for row in rows if self.breaks[row] >= MOST_BREAKS])

    def apart(self, rows: Sequence[int]) -> tuple[list[int], list[int]]:
        """Those to be asked for together, and those alone."""
        return [row for row in rows if row not in self.breaks], [row for row in rows if row in self.breaks]

    def skip_span(self, from_ns: int, to_ns: int) -> None:
        """What lies between may have been handed on, or not; and what lies between that and what was skipped before."""
        if to_ns > from_ns:
            begin_ns, end_ns = self.skipped_from_ns, self.skipped_from_ns + self.skipped_ns
            self.skipped_from_ns = min(begin_ns, from_ns) if self.skipped_ns else from_ns
            self.skipped_ns = max(end_ns, to_ns) - self.skipped_from_ns

    def tell(self) -> None:
        """What is skipped is told."""
        self.is_told, self.skipped_from_ns, self.skipped_ns = True, 0, 0

    def take(self, row: int, times: Times, end_ns: int) -> Mask:
        """Which of these times lie in the row's gap and before `end_ns`."""
        wanted: Mask = (times > self.after[row]) & (times < min(int(self.before[row]), end_ns))
        return wanted

    def advance(self, rows: Sequence[int], to_ns: int) -> None:
        """Everything up to `to_ns` (exclusive) is read back; of skipped rows nothing is."""
        after = self.after[list(rows)]
        self.after[list(rows)] = np.where(after > 0, np.maximum(after, to_ns - 1), 0)

    def lend(self, rows: Sequence[int], start_ns: int, to_ns: int, counts: dict[int, int]) -> None:
        """A slice is read and is now waiting to be handed on: `advance`, unless it is given back."""
        self.lent = Lent(list(rows), self.after[list(rows)], start_ns, to_ns, counts)
        self.advance(rows, to_ns)
        for row, count in counts.items():
            self.counts[row] += count

    def return_lent(self, left: int, of: int) -> None:
        """Of the `of` parts in which a slice was handed on `left` were not taken when it ended: all, it is missing still;
        some, nobody can say of what."""
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
class Lent:
    """A slice of a gap that is read and not yet known to be handed on. after: of these rows, before it."""

    rows: list[int]
    after: Times
    start_ns: int
    to_ns: int
    counts: dict[int, int]


class Gaps:
    """Follows what is received and knows what is missing. All times are source times in ns, 0 for none."""

    def __init__(self, rows: int) -> None:
        self._last = np.zeros(rows, np.int64)
        self._first = np.zeros(rows, np.int64)
        self._put = np.zeros(rows, np.int64)
        self._floor = np.zeros(rows, np.int64)
        """Up to when samples may have been handed on by a run that crashed: until the first gap is settled."""
        self._number = 0
        self.skipped = (0, 0)
        """From when, how long: see `Gap.skipped_ns`. It goes into the next gap that is settled."""
        self.newest_put_ns = 0
        """The newest time of all that waits to be handed on, or was."""
        self.has_put = False
        """Something was put since this was last set to false."""
        self._taken = np.zeros(rows, np.int64)
        self.waiting: deque[Gap] = deque()
        self.given_up: list[Gap] = []
        """Gaps that had to make room for newer ones."""

    def remember(self, last: Times, skipped: tuple[int, int] = (0, 0), waiting: Sequence[Gap] = ()) -> None:
        """What an earlier run has heard last and has not read back: before the first `begin`."""
        self.skipped = skipped
        for times in (self._floor,) if skipped[1] else (self._last, self._put, self._taken):
            times[:] = last
        self.waiting.extend(waiting)
        self._number = max((gap.number for gap in waiting), default=0)

    def put(self, rows: NDArray[np.uint32], times: Times) -> None:
        """These, which were heard, are now waiting to be handed on."""
        np.maximum.at(self._put, rows, times)
        self.newest_put_ns = max(self.newest_put_ns, int(times.max(initial=0)))
        self.has_put = self.has_put or bool(times.any())

    def take(self) -> None:
        """All that was waiting is handed on."""
        self._taken[:] = self._put

    @property
    def taken(self) -> Times:
        """Of each row, the time up to which everything was handed on, or may have been, or lies in a gap."""
        return np.maximum(self._taken, self._floor)

    @property
    def newest_taken_ns(self) -> int:
        """The newest of the times in `taken`, 0 for none."""
        return int(self.taken.max(initial=0))

    def heard(self, rows: NDArray[np.uint32], times: Times, *, again: bool = False) -> None:
        """The server said this by itself. again: it was on its way when the connection was lost, so the gap begins after it,
        where nothing that came later is known."""
        np.maximum.at(self._last, rows, times)
        known = times > 0
        if not known.all():
            rows, times = rows[known], times[known]
        unset = self._first[rows] == 0
        if again and (gap := self.unsettled) is not None:
            np.maximum.at(gap.after, rows[unset], times[unset])
        elif unset.any():
            self._first[rows[unset]] = np.iinfo(np.int64).max
            np.minimum.at(self._first, rows[unset], times[unset])

    def begin(self) -> None:
        """A new connection: what was heard last is where a gap begins."""
        rows = self._last.size
        self._drop_unsettled()
        after = np.maximum(self._last, self._floor)
        if after.any():
            none = np.zeros(rows, np.int64)
            self._number += 1
            self.waiting.append(Gap(after, none, none.copy(), number=self._number, is_open=True))
            if len(self.waiting) > MOST_GAPS:
                self.given_up.append(self.waiting.popleft())
        self._first[:] = 0

    @property
    def unsettled(self) -> Gap | None:
        """The gap whose end is not known yet."""
        newest = self.waiting[-1] if self.waiting else None
        return newest if newest is not None and newest.is_open else None

    def _drop_unsettled(self) -> None:
        """A connection that was lost at once: the next gap begins where this one does, but for rows that were heard."""
        if (gap := self.unsettled) is not None:
            gap.before, gap.is_open = self._first.copy(), False
            if not self._first.any():
                self.waiting.pop()

    def kept(self) -> list[Gap]:
        """What is still to be read back if this run ends now: of the newest gap the rows of which the first value after it
        was handed on; the gap of the others begins with their last value in the next run, too."""
        if (gap := self.unsettled) is None:
            return list(self.waiting)
        before = np.where(self._taken >= self._first, self._first, 0)
        here = Gap(gap.after.copy(), before, gap.counts.copy(), number=gap.number)
        return [*list(self.waiting)[:-1], *([here] if before.any() else [])]

    def settle(self, since_ns: int) -> int:
        """The new connection has said what holds now: that is where the newest gap ends. Where it said nothing all that
        comes since `since_ns`, when it began by the server's clock, comes by itself.

        Returns by how much the newest value is older than the newest one before the gap: the times of the server, or of what
        is behind it, went back.
        """
        if (gap := self.unsettled) is None:
            return 0
        gap.is_open = False
        silent = self._first == 0
        gap.before = np.where(silent, since_ns, self._first)
        known = silent & (gap.after > 0)
        for times in (self._last, self._put, self._taken):
            times[known] = np.maximum(times[known], since_ns - 1)
        self._floor[:] = 0
        (begin_ns, length_ns), self.skipped = self.skipped, (0, 0)
        gap.skip_span(begin_ns, min(begin_ns + length_ns, int(gap.before.max())))
        both = (gap.after > 0) & ~silent
        if not both.any():
            return 0
        return max(0, (begin_ns if length_ns else int(gap.after[both].max())) - int(self._first[both].max()))


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
