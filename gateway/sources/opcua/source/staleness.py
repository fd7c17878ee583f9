"""The data watchdog: items that say nothing although their nodes change. Pure but for `stale_rows`, which reads."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gateway.core.blocks import Mask
from gateway.core.clock import Clock
from gateway.sources.opcua.codec.columns import KIND_NULL, ValueColumns
from gateway.sources.opcua.port.session import Connection
from gateway.sources.opcua.port.values import Item

_MOST_S: Final = 3600.0
_BAD: Final = 0x80000000
_NEVER: Final = 0xFFFFFFFF
_FLOAT: Final = 10
_LOCALIZED_TEXT: Final = 21


class Staleness:
    """What was last received of each row, and when. Times are monotonic seconds.

    A server that still sends keep-alives may have stopped to send data, of one node (deleted and created again) or of all.
    Silence proves nothing: a value may be constant. So rows that were silent for `limit_s` are read, once per that time.
    Only another value or status proves something; a newer source timestamp does not, because many servers put in the time
    of the read. Where rows are watched with a deadband (`exact` false) only the status counts.
    """

    def __init__(self, rows: int, limit_s: float, now_s: float, exact: Mask | None = None) -> None:
        """limit_s: 0 for never."""
        self._limit_s = self._patience_s = limit_s
        self._exact = np.ones(rows, np.bool_) if exact is None else exact
        self._heard_s = np.full(rows, now_s)
        self._asked_s = np.full(rows, now_s)
        self._status = np.full(rows, _NEVER, np.uint32)
        self._number = np.full(rows, np.nan)
        self._kind = np.zeros(rows, np.uint8)
        self._objects: dict[int, object] = {}
        self._begun_s = now_s
        self._has_said = np.zeros(rows, np.bool_)

    def begin(self, now_s: float) -> None:
        """A new subscription: everything is about to be said."""
        self._heard_s[:] = self._asked_s[:] = self._begun_s = now_s
        self._has_said[:] = False

    def heard(self, columns: ValueColumns, now_s: float) -> None:
        """The server said this by itself."""
        row = columns.row
        if self._patience_s > self._limit_s and row.size and now_s - self._begun_s > self._limit_s / 2:
            self._patience_s = self._limit_s
        self._heard_s[row], self._has_said[row] = now_s, True
        self._status[row] = columns.status
        self._number[row] = columns.number
        if (columns.kind == KIND_NULL).any():
            said = columns.kind != KIND_NULL
            self._kind[row[said]] = columns.kind[said]
        else:
            self._kind[row] = columns.kind
        if self._objects or columns.objects:
            self._remember(row, columns.objects)

    @property
    def unlabelled(self) -> Mask:
        """Rows whose last value was none that could have a label: Float to LocalizedText (Part 6, 5.1.2)."""
        wanted: Mask = (self._kind >= _FLOAT) & (self._kind <= _LOCALIZED_TEXT)
        return wanted

    def bad_statuses(self, excluded: Collection[int]) -> Counter[int]:
        """How many rows said what bad status last."""
        rows = np.flatnonzero((self._status >= _BAD) & (self._status != _NEVER))
        return Counter(
            status for row, status in zip(rows.tolist(), self._status[rows].tolist(), strict=True) if row not in excluded
        )

    def _remember(self, row: NDArray[np.uint32], objects: Mapping[int, object]) -> None:
        for place, one in enumerate(row.tolist()):
            if place in objects:
                self._objects[one] = objects[place]
            else:
                self._objects.pop(one, None)

    def due(self, now_s: float, excluded: Collection[int]) -> list[int]:
        """Rows that have been silent for too long, ascending; each is named once per limit."""
        if not self._limit_s:
            return []
        silent = now_s - np.maximum(self._heard_s, self._asked_s) >= self._patience_s
        rows = [row for row in np.flatnonzero(silent).tolist() if row not in excluded]
        self._asked_s[rows] = now_s
        return rows

    def changed(self, columns: ValueColumns, since_s: float) -> list[int]:
        """Rows of a read whose value or status is not what was last heard, and of which nothing was heard since."""
        row = columns.row
        same_value = (self._number[row] == columns.number) | (np.isnan(self._number[row]) & np.isnan(columns.number))
        for place, one in enumerate(row.tolist()) if self._objects or columns.objects else ():
            same_value[place] &= self._objects.get(one) == columns.objects.get(place)
        bad = (self._status[row] & columns.status & np.uint32(_BAD)) != 0
        same = (self._status[row] == columns.status) & (same_value | bad | ~self._exact[row])
        unheard: list[int] = row[~same & (self._heard_s[row] < since_s)].tolist()
        return unheard

    def expect(self, rows: Collection[int]) -> None:
        """These are about to be said, or said again."""
        self._has_said[list(rows)] = False

    def all_said(self, rows: Collection[int]) -> bool:
        """The server has said something of each of these rows, since the subscription began or that was expected."""
        return bool(self._has_said[list(rows)].all())

    def any_heard(self, rows: Collection[int], since_s: float) -> bool:
        """The server has said something of one of these rows."""
        return bool((self._heard_s[list(rows)] >= since_s).any())

    def in_vain(self) -> None:
        """The connection is made anew. Next time wait twice as long, up to an hour, unless data come by themselves."""
        self._patience_s = min(max(_MOST_S, self._limit_s), self._patience_s * 2)


async def stale_rows(
    silence: Staleness,
    connection: Connection,
    items: Sequence[Item],
    excluded: Collection[int],
    clock: Clock,
    grace_s: float,
) -> list[int]:
    """Read what was silent for too long; rows whose value is another and is not told within `grace_s` either."""
    asked_s = clock.monotonic()
    known = {item.row: item for item in items}
    due = [known[row] for row in silence.due(asked_s, excluded) if row in known]
    if not due:
        return []
    answers = [answer.columns for answer in await connection.read(due) if not answer.refused]
    if not any(silence.changed(columns, asked_s) for columns in answers):
        return []
    await clock.sleep(grace_s)
    return sorted(row for columns in answers for row in silence.changed(columns, asked_s))
