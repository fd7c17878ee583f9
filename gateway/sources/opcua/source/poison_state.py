"""Items that bring down every answer they are part of: which ones, and when each is tried again. Pure: times are monotonic
seconds, passed in."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from gateway.core.bisect import Bisection
from gateway.core.plural import counted

FIRST_RETRY_S: Final = 5.0
MOST_RETRY_S: Final = 120.0
COSTLY_RETRY_S: Final = 60.0
MOST_COSTLY_RETRY_S: Final = 1800.0
STRIKES: Final = 12
"""So many count as sure that items are to blame, of connections in a row that did not last."""
STABLE_S: Final = 10.0
RESTARTS: Final = 3
FIRST_TRUCE_S: Final = 60.0
MOST_TRUCE_S: Final = 1800.0
_TRIES: Final = 2


@dataclass(frozen=True, slots=True)
class Fault:
    """How an answer failed. words: for people where the status does not say it. strikes: how much it says about the items,
    `STRIKES` for certain. is_costly: it cost the connection, so it is not tried often, and not believed at once."""

    status: int
    words: str = ""
    strikes: int = STRIKES
    is_costly: bool = True


@dataclass(frozen=True, slots=True)
class Culprit:
    """An item that is left out, and tried again from `due_s` on."""

    fault: Fault
    delay_s: float
    due_s: float


class PoisonState:
    """The items of one server, by row. All are trusted until connections are lost for their sake; then parts of them are
    tried, behind those that are trusted again, until the culprits are alone (see `Bisection`).

    A trial begins with `trial` and ends with `passed`, `failed`, or `lost` when the connection ended. Nobody is a culprit of
    a server that fails at everything: then all are trusted, and there is a truce before the next search; so there is where
    a search without certainty found nothing, because it may have been the network. A culprit that has recovered is a reason
    to try the others soon. culprits: by row.
    """

    def __init__(self, rows: int) -> None:
        self.culprits: Mapping[int, Culprit] = {}
        self._count = rows
        self._rows: list[int] = []
        self._search: Bisection | None = None
        self._waiting: set[int] = set()
        self._found: dict[int, Fault] = {}
        self._trial: list[int] = []
        self._is_retry = False
        self._failures = self._strikes = self._restarts = 0
        self._truce_s = self._truce_until_s = 0.0
        self._is_certain = self._has_blamed = False

    @property
    def is_searching(self) -> bool:
        """Some items wait to be tried."""
        return self._search is not None

    @property
    def is_trying(self) -> bool:
        """A trial is under way: what fails now, fails for its sake."""
        return bool(self._trial)

    @property
    def untrusted(self) -> frozenset[int]:
        """Rows to be left alone, but for the trial."""
        return frozenset(self._waiting | self.culprits.keys()) if self._waiting or self.culprits else frozenset()

    @property
    def note(self) -> str:
        """For people, empty while nothing is searched for."""
        if self._search is None:
            return ""
        return f"what the server fails at is searched for, {len(self._waiting)} of {counted(self._count, 'node')} wait"

    def trial(self, now_s: float) -> list[int]:
        """Rows to try together now, ascending; none when there are none."""
        while not self._trial and self._search is not None:
            part = self._search.part
            assert part is not None  # else the search would be over
            self._trial, self._is_retry = [row for row in self._rows[part.start : part.stop] if row in self._waiting], False
            if not self._trial:  # all of them were blamed for other reasons
                self._search.passed()
                self._settle(now_s)
        if not self._trial:
            due = [row for row, one in self.culprits.items() if one.due_s <= now_s]
            self._trial, self._is_retry = due[:1], True
        return self._trial

    def passed(self, now_s: float) -> None:
        """The trial went well, for all of its rows that were not blamed meanwhile."""
        trial, self._trial, self._failures = self._trial, [], 0
        if self._is_retry:
            self.culprits = {row: replace(one, due_s=now_s) for row, one in self.culprits.items() if row not in trial}
            return
        self._waiting.difference_update(trial)
        assert self._search is not None
        self._search.passed()
        self._settle(now_s)

    def failed(self, fault: Fault, now_s: float) -> None:
        """The trial did not go well."""
        trial, self._trial = self._trial, []
        if self._is_retry:
            for row in trial:
                self._condemn(row, fault, now_s)
            return
        self._failures += 1
        if len(trial) == 1 and fault.is_costly and self._failures < _TRIES:
            return
        self._failures = 0
        assert self._search is not None
        if len(trial) == 1:
            self._found[trial[0]] = fault
        self._search.failed()
        self._settle(now_s)

    def blame(self, row: int, fault: Fault, now_s: float) -> None:
        """This one alone is known to be a culprit, while others are answered."""
        self._waiting.discard(row)
        self._has_blamed = True
        self._condemn(row, fault, now_s)

    def cancel(self) -> None:
        """The trial ends, for reasons of its own."""
        self._trial = []

    def lost(self, fault: Fault, lasted_s: float, now_s: float) -> bool:
        """The connection ended after so long. A connection that lasted says nothing about items, but of a certain fault.

        True when that is part of a search that goes on: connect again at once.
        """
        if self._trial:
            self.failed(fault, now_s)
            return self.is_searching or bool(self.culprits)
        self._strikes = fault.strikes + (self._strikes if lasted_s < STABLE_S else 0)
        if self._strikes >= STRIKES and now_s >= self._truce_until_s:
            self._begin(now_s, certain=fault.strikes >= STRIKES)
        return False

    def _begin(self, now_s: float, *, certain: bool) -> None:
        """Suspect everything, again where those that are trusted fail in the middle of a search."""
        self._restarts += self.is_searching
        self._strikes = self._failures = 0
        if self._restarts > RESTARTS:
            self._give_up(now_s)
            return
        self._found, self._has_blamed, self._is_certain = {}, False, certain
        self._rows = [row for row in range(self._count) if row not in self.culprits]
        self._waiting = set(self._rows)
        self._search = Bisection(len(self._rows)) if self._rows else None

    def _settle(self, now_s: float) -> None:
        """Once the search is over, what was found is condemned; what is unknown is trusted."""
        search = self._search
        if search is None or search.part is not None:
            return
        if not search.passes or not (self._found or self._has_blamed or self._is_certain):
            self._give_up(now_s)
            return
        for row, fault in self._found.items():
            self._condemn(row, fault, now_s)
        self._end()
        self._truce_s = 0.0

    def _give_up(self, now_s: float) -> None:
        self._truce_s = min(MOST_TRUCE_S, max(FIRST_TRUCE_S, 2 * self._truce_s))
        self._truce_until_s = now_s + self._truce_s
        self._end()

    def _end(self) -> None:
        self._search, self._found, self._restarts = None, {}, 0
        self._waiting.clear()

    def _condemn(self, row: int, fault: Fault, now_s: float) -> None:
        first, most = (COSTLY_RETRY_S, MOST_COSTLY_RETRY_S) if fault.is_costly else (FIRST_RETRY_S, MOST_RETRY_S)
        known = self.culprits.get(row)
        delay_s = min(most, max(first, 2 * known.delay_s)) if known else first
        self.culprits = {**self.culprits, row: Culprit(fault, delay_s, now_s + delay_s)}
