"""Pages of one node's history, put together whatever the server sends. Pure."""

from dataclasses import replace
from typing import Final

import numpy as np

from gateway.core.blocks import Mask, Rows
from gateway.sources.opcua.codec.columns import ValueColumns, concatenate
from gateway.sources.opcua.source.history.gaps import times_of

MOST_IDLE: Final = 3
"""Answers in a row that may bring nothing new, such as values around what was asked for, before a server is not asked on."""


class Pages:
    """Values of one slice of time, page by page.

    Servers send values around what was asked for (bounding values), later than now, in any order, twice (a continuation
    point that is a time repeats what was taken at that time), or the same page for ever. Only what is wanted counts, once,
    and in the order of time. One instant has one value of one status once.
    """

    def __init__(self, row: int, after_ns: int, before_ns: int, most: int) -> None:
        """Want what lies between these times, `most` values of it."""
        self._row = row
        self._after_ns, self._before_ns = after_ns, before_ns
        self._most = most
        self._parts: list[ValueColumns] = []
        self._count = self._idle = 0
        self._least = self._greatest = 0
        self.is_cut = False
        """The server had more, or does not come to an end."""

    def add(self, columns: ValueColumns) -> bool:
        """Add one answer. Returns whether to ask on where the server says that there is more; see also `end`."""
        times = times_of(columns)
        wanted = (times > self._after_ns) & (times < self._before_ns)
        is_behind = bool(times.size) and bool((times >= self._before_ns).all())
        times = times[wanted]
        is_new = bool(times.size) and (not self._parts or times.min() < self._least or times.max() > self._greatest)
        if times.size:
            least, greatest = int(times.min()), int(times.max())
            self._least, self._greatest = min(self._least or least, least), max(self._greatest, greatest)
            part = columns.select(wanted)
            self._parts.append(replace(part, row=np.full(len(part), self._row, np.uint32)))
            self._count += len(part)
        self._idle = 0 if is_new else self._idle + 1
        goes_on = self._count < self._most and self._idle < MOST_IDLE
        self.is_cut = not goes_on
        if is_behind:  # what follows is later still
            self.is_cut = False
            return False
        return goes_on

    def end(self, *, is_cut: bool) -> None:
        """Record that the server says that this is all. is_cut: it stopped at the limit that it was given."""
        self.is_cut = is_cut

    def values(self) -> ValueColumns | None:
        """Return what was wanted, at most `most`, the earliest."""
        if not self._parts:
            return None
        columns = concatenate(self._parts)
        columns = _taken(columns, _once_in_order(columns))
        if len(columns) >= self._most:
            self.is_cut = self.is_cut or len(columns) > self._most
            columns = columns.select(np.arange(len(columns)) < self._most)
        return columns


def _once_in_order(columns: ValueColumns) -> Rows:
    """Return places in the order of time, without those that say the same once more."""
    times = times_of(columns)
    if times.size < 2 or (times[1:] > times[:-1]).all():
        return np.arange(times.size)
    order = np.lexsort((columns.number, columns.status, times))
    same: Mask = np.zeros(times.size, np.bool_)
    before, after = order[:-1], order[1:]
    number = columns.number
    same[1:] = (times[before] == times[after]) & (columns.status[before] == columns.status[after])
    same[1:] &= (number[before] == number[after]) | (np.isnan(number[before]) & np.isnan(number[after]))
    again = np.zeros(times.size, np.bool_)
    again[order] = same
    if columns.objects:  # what numbers cannot tell apart
        seen: set[tuple[int, int, str]] = set()
        for place in sorted(columns.objects):
            instant = (int(times[place]), int(columns.status[place]), repr(columns.objects[place]))
            again[place] = instant in seen
            seen.add(instant)
    kept = np.flatnonzero(~again)
    return kept[np.argsort(times[kept], kind="stable")]


def _taken(columns: ValueColumns, places: Rows) -> ValueColumns:
    if places.size == len(columns) and (places == np.arange(places.size)).all():
        return columns
    objects = {}
    if columns.objects:
        objects = {at: columns.objects[old] for at, old in enumerate(places.tolist()) if old in columns.objects}
    return ValueColumns(
        columns.row[places], columns.kind[places], columns.number[places], objects, columns.status[places],
        columns.source_ns[places], columns.server_ns[places],
    )  # fmt: skip
