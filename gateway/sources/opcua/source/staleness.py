"""The data watchdog: items without notifications although their nodes change."""

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gateway.core.blocks import Mask
from gateway.core.retry_timer import DoublingDelay
from gateway.sources.opcua.codec.columns import KIND_NULL, ValueColumns
from gateway.sources.opcua.source.intervals import DEFAULT_INTERVALS, Intervals

_BAD: Final = 0x80000000
_NEVER: Final = 0xFFFFFFFF
_FLOAT: Final = 10
_LOCALIZED_TEXT: Final = 21


class Staleness:
    """What was last received of each row, and when. Pure; times are monotonic seconds.

    A server that still sends keep-alives may have stopped to send data, of one node (deleted and created again) or of all.
    Silence proves nothing, because a value may be constant: rows that were silent for `limit_s` are read, once in that time.
    Only another value or status is a proof. A newer source timestamp is none, because many servers put in the time of the
    read. Where rows are monitored with a deadband (`exact` false) only the status counts.
    """

    def __init__(
        self,
        rows: int,
        limit_s: float,
        now_s: float,
        exact: Mask | None = None,
        intervals: Intervals = DEFAULT_INTERVALS,
    ) -> None:
        """Begin with nothing received. limit_s: 0 for never."""
        self._limit = DoublingDelay(limit_s, intervals.staleness_most_s)
        self._limit_s = limit_s
        self._exact = np.ones(rows, np.bool_) if exact is None else exact
        self._received_s = np.full(rows, now_s)
        self._asked_s = np.full(rows, now_s)
        self._status = np.full(rows, _NEVER, np.uint32)
        self._number = np.full(rows, np.nan)
        self._kind = np.zeros(rows, np.uint8)
        self._objects: dict[int, object] = {}
        self._begun_s = now_s
        self._has_received = np.zeros(rows, np.bool_)

    def on_connected(self, now_s: float) -> None:
        """Begin a new subscription: something is about to come of every row."""
        self._received_s[:] = self._asked_s[:] = self._begun_s = now_s
        self._has_received[:] = False

    def received(self, columns: ValueColumns, now_s: float) -> None:
        """Record what the server sent by itself."""
        row = columns.row
        if row.size and now_s - self._begun_s > self._limit_s / 2:
            self._limit.reset()
        self._received_s[row], self._has_received[row] = now_s, True
        self._status[row] = columns.status
        self._number[row] = columns.number
        if (columns.kind == KIND_NULL).any():
            has_value = columns.kind != KIND_NULL
            self._kind[row[has_value]] = columns.kind[has_value]
        else:
            self._kind[row] = columns.kind
        if self._objects or columns.objects:
            self._record_objects(row, columns.objects)

    @property
    def unlabelled(self) -> Mask:
        """Return the rows whose last value was none that could have a label: Float to LocalizedText (Part 6, 5.1.2)."""
        wanted: Mask = (self._kind >= _FLOAT) & (self._kind <= _LOCALIZED_TEXT)
        return wanted

    def bad_statuses(self, excluded: Collection[int]) -> Counter[int]:
        """Return how many rows had what bad status last."""
        rows = np.flatnonzero((self._status >= _BAD) & (self._status != _NEVER))
        return Counter(
            status for row, status in zip(rows.tolist(), self._status[rows].tolist(), strict=True) if row not in excluded
        )

    def _record_objects(self, row: NDArray[np.uint32], objects: Mapping[int, object]) -> None:
        for place, one in enumerate(row.tolist()):
            if place in objects:
                self._objects[one] = objects[place]
            else:
                self._objects.pop(one, None)

    def due(self, now_s: float, excluded: Collection[int]) -> list[int]:
        """Return the rows that have been silent for too long, ascending; each once per limit."""
        if not self._limit_s:
            return []
        is_silent = now_s - np.maximum(self._received_s, self._asked_s) >= self._limit.current_s
        rows = [row for row in np.flatnonzero(is_silent).tolist() if row not in excluded]
        self._asked_s[rows] = now_s
        return rows

    def changed(self, columns: ValueColumns, since_s: float) -> list[int]:
        """Return the rows of a read whose value or status differs from the last one received.

        Rows of which something was received since `since_s` are left out.
        """
        row = columns.row
        same_value = (self._number[row] == columns.number) | (np.isnan(self._number[row]) & np.isnan(columns.number))
        for place, one in enumerate(row.tolist()) if self._objects or columns.objects else ():
            same_value[place] &= self._objects.get(one) == columns.objects.get(place)
        bad = (self._status[row] & columns.status & np.uint32(_BAD)) != 0
        same = (self._status[row] == columns.status) & (same_value | bad | ~self._exact[row])
        unreceived: list[int] = row[~same & (self._received_s[row] < since_s)].tolist()
        return unreceived

    def expect(self, rows: Collection[int]) -> None:
        """Expect something of these rows, anew where something was received before."""
        self._has_received[list(rows)] = False

    def has_received_all(self, rows: Collection[int]) -> bool:
        """Return whether something was received of each of these rows, since they were expected."""
        return bool(self._has_received[list(rows)].all())

    def has_received_any(self, rows: Collection[int], since_s: float) -> bool:
        """Return whether something was received of one of these rows since then."""
        return bool((self._received_s[list(rows)] >= since_s).any())

    def on_reconnect(self) -> None:
        """Record that the connection is made anew because of silence.

        The limit doubles, up to an hour, until data come by themselves: a value that changes only when it is read would
        otherwise cost a connection each time.
        """
        self._limit.double()
