"""Which items bring down every answer that they are part of, and when each is tried again. Pure; monotonic seconds in."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from gateway.core.bisect import Bisection
from gateway.core.plural import counted
from gateway.core.retry_timer import DoublingDelay, RetryTimers
from gateway.sources.opcua.source.intervals import DEFAULT_INTERVALS, Intervals

CERTAIN: Final = 12
"""Weight of the faults, of connections in a row that did not last, from which on items count as the reason."""
MOST_RESTARTS: Final = 3
"""So often a search starts over because trusted items failed in the middle of it; then it is given up."""
_TRIES: Final = 2
"""A lone item that costs the connection is a culprit the second time: the network may have been cut the first time."""


@dataclass(frozen=True, slots=True)
class Fault:
    """How an answer failed."""

    status: int
    """Status code that the item's tags get."""
    words: str = ""
    """For people, where the status does not say it."""
    weight: int = CERTAIN
    """How much it says about the items, `CERTAIN` for certain."""
    is_costly: bool = True
    """It cost the connection, so it is not tried often, and one failure is no proof."""


class SearchState(Enum):
    """What a `PoisonState` is doing."""

    TRUSTING = "no item is suspected, but for known culprits"
    SEARCHING = "some items wait to be tried"
    TRYING = "a part of the suspected items is being tried"
    RETRYING = "a known culprit is being tried again"


@dataclass(slots=True)
class _Search:
    """One search among the items that were no culprits when it began."""

    rows: Sequence[int]
    is_certain: bool
    """The fault that began it said for certain that items are the reason."""
    bisection: Bisection = field(init=False)
    waiting: set[int] = field(init=False)
    """Rows that are not trusted yet."""
    found: dict[int, Fault] = field(default_factory=dict)
    has_blamed: bool = False
    """A culprit showed by itself, while others were answered."""
    failures: int = 0
    """Of the present part."""

    def __post_init__(self) -> None:
        self.bisection, self.waiting = Bisection(len(self.rows)), set(self.rows)

    def part(self) -> list[int]:
        """Return the rows to try next, empty where all of the part are culprits for other reasons."""
        part = self.bisection.part
        assert part is not None  # else the search would be over
        return [row for row in self.rows[part.start : part.stop] if row in self.waiting]

    @property
    def has_result(self) -> bool:
        """Return whether it may be believed: something passed, and something failed or was certain to."""
        return bool(self.bisection.passes) and bool(self.found or self.has_blamed or self.is_certain)


class PoisonState:
    """The items of one server, by row: trusted, waiting to be tried, or culprits that are left out.

    All are trusted until connections are lost because of items; then parts of them are tried, behind those that are
    trusted again, until the culprits are alone (see `Bisection`). A trial begins with `trial` and ends with `passed`,
    `failed`, or `on_lost` when the connection ended. A server that fails at everything has no culprits: then all are
    trusted, and the next search waits. So it does after a search that found nothing and was begun without certainty,
    because the network may have been the reason. A culprit that works again is a reason to try the others soon.
    """

    def __init__(self, rows: int, intervals: Intervals = DEFAULT_INTERVALS) -> None:
        """Begin with all rows trusted."""
        self.culprits: Mapping[int, Fault] = {}
        """Items that are left out, by row."""
        self.state = SearchState.TRUSTING
        self.is_session_tainted = False
        """The session that was lost last may hold items that bring the server down: it must not be resumed."""
        self._count = rows
        self._search: _Search | None = None
        self._trial: list[int] = []
        self._cheap = RetryTimers[int](intervals.poison_retry_s, intervals.poison_retry_most_s)
        self._costly = RetryTimers[int](intervals.costly_retry_s, intervals.costly_retry_most_s)
        self._weight = self._restarts = 0
        self._pause = DoublingDelay(intervals.search_pause_s, intervals.search_pause_most_s)
        self._paused_until_s = 0.0
        self._stable_s = intervals.stable_s

    @property
    def is_searching(self) -> bool:
        """Return whether some items wait to be tried, or are tried for the first time."""
        return self.state in (SearchState.SEARCHING, SearchState.TRYING)

    @property
    def is_trying(self) -> bool:
        """Return whether a trial is under way: what fails now, fails because of its items."""
        return self.state in (SearchState.TRYING, SearchState.RETRYING)

    @property
    def untrusted(self) -> frozenset[int]:
        """Return the rows to leave alone, but for the trial."""
        waiting: Collection[int] = self._search.waiting if self._search else ()
        return frozenset((*waiting, *self.culprits)) if waiting or self.culprits else frozenset()

    @property
    def state_text(self) -> str:
        """Return a sentence for the device state, empty while nothing is searched for."""
        if self._search is None:
            return ""
        waiting = len(self._search.waiting)
        return f"what the server fails at is searched for, {waiting} of {counted(self._count, 'node')} wait"

    def next_trial(self, now_s: float) -> list[int]:
        """Begin the next trial, or go on with the present one. Returns its rows, ascending; empty when there is none."""
        while not self._trial and self._search is not None:
            self._set_trial(self._search.part(), SearchState.TRYING)
            if not self._trial:
                self._search.bisection.passed()
                self._finish(now_s)
        if not self._trial:
            due = [row for row in self.culprits if self._timers(row).wait_s(row, now_s) <= 0]
            self._set_trial(due[:1], SearchState.RETRYING)
        return self._trial

    def _set_trial(self, rows: list[int], state: SearchState) -> None:
        self._trial = rows
        if rows:
            self.state = state

    def _end_trial(self) -> tuple[list[int], bool]:
        """End the trial; returns its rows, and whether it was a retry."""
        trial, self._trial = self._trial, []
        was_retry = self.state is SearchState.RETRYING
        self.state = SearchState.TRUSTING if self._search is None else SearchState.SEARCHING
        return trial, was_retry

    def passed(self, now_s: float) -> None:
        """End the trial: all of its rows work that were not blamed meanwhile."""
        trial, was_retry = self._end_trial()
        if was_retry:
            self._absolve(trial)
            for timers in (self._cheap, self._costly):
                timers.hurry(now_s, keeps_delay=True)
            return
        assert self._search is not None
        self._search.failures = 0
        self._search.waiting.difference_update(trial)
        self._search.bisection.passed()
        self._finish(now_s)

    def failed(self, fault: Fault, now_s: float) -> None:
        """End the trial: it failed with this fault."""
        trial, was_retry = self._end_trial()
        if was_retry:
            for row in trial:
                self._condemn(row, fault, now_s)
            return
        search = self._search
        assert search is not None
        search.failures += 1
        if len(trial) == 1 and fault.is_costly and search.failures < _TRIES:
            return
        search.failures = 0
        if len(trial) == 1:
            search.found[trial[0]] = fault
        search.bisection.failed()
        self._finish(now_s)

    def record_culprit(self, row: int, fault: Fault, now_s: float) -> None:
        """Record that this row alone failed while others were answered."""
        if self._search is not None:
            self._search.waiting.discard(row)
            self._search.has_blamed = True
        self._condemn(row, fault, now_s)

    def cancel(self) -> None:
        """End the trial without a result."""
        self._end_trial()

    def on_lost(self, fault: Fault, served_s: float, now_s: float) -> bool:
        """Record that the connection ended after so long. Returns whether to connect again at once, to go on searching.

        A connection that served long says nothing about items, unless the fault is certain.
        """
        if self._trial:
            self.failed(fault, now_s)
            return self.is_searching or bool(self.culprits)
        self._weight = fault.weight + (self._weight if served_s < self._stable_s else 0)
        if self._weight >= CERTAIN and now_s >= self._paused_until_s:
            self._begin(now_s, is_certain=fault.weight >= CERTAIN)
        return False

    def _begin(self, now_s: float, *, is_certain: bool) -> None:
        """Suspect everything, again where trusted items fail in the middle of a search."""
        self._restarts += self.is_searching
        self._weight = 0
        if self._restarts > MOST_RESTARTS:
            self._give_up(now_s)
            return
        rows = [row for row in range(self._count) if row not in self.culprits]
        self._search = _Search(rows, is_certain) if rows else None
        self.state = SearchState.SEARCHING if rows else SearchState.TRUSTING

    def _finish(self, now_s: float) -> None:
        """Condemn what was found, once the search is over; what is unknown then is trusted."""
        search = self._search
        if search is None or search.bisection.part is not None:
            return
        if not search.has_result:
            self._give_up(now_s)
            return
        for row, fault in search.found.items():
            self._condemn(row, fault, now_s)
        self._end()
        self._pause.reset()

    def _give_up(self, now_s: float) -> None:
        self._paused_until_s = now_s + self._pause.next_s()
        self._end()

    def _end(self) -> None:
        self._search, self._restarts = None, 0
        self.state = SearchState.TRUSTING

    def _condemn(self, row: int, fault: Fault, now_s: float) -> None:
        self.culprits = {**self.culprits, row: fault}
        self._timers(row).failed(row, now_s)

    def _absolve(self, rows: Iterable[int]) -> None:
        rows = set(rows)
        self.culprits = {row: fault for row, fault in self.culprits.items() if row not in rows}
        for timers in (self._cheap, self._costly):
            timers.clear(rows)

    def _timers(self, row: int) -> RetryTimers[int]:
        return self._costly if self.culprits[row].is_costly else self._cheap
