"""Between nodes and tags: tags that differ only in what they take of a value share one monitored item. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from gateway.sources.opcua.config import OpcUaDevice, OpcUaTag
from gateway.sources.opcua.connection import EXACT, KIND_NOT_SCALAR, KIND_NULL, DataValues, Item, ValueColumns
from gateway.sources.opcua.selection import Step, ranged, select, steps_of
from gateway.sources.opcua.status import is_bad

_BOOLEAN, _INT64, _DOUBLE, _STRING = 1, 8, 11, 12
_KINDS: Final[dict[type, int]] = {type(None): KIND_NULL, bool: _BOOLEAN, int: _INT64, float: _DOUBLE, str: _STRING}


class Tagging:
    """The monitored items of a device's tags, and the way back from their values.

    items: one for each distinct request; `Item.row` is the row of the first tag that uses it, so `items` ascends by row.
    """

    def __init__(self, device: OpcUaDevice, tags: Sequence[OpcUaTag]) -> None:
        rows: dict[Item, list[int]] = defaultdict(list)
        for row, tag in enumerate(tags):
            rows[_request(device, tag)].append(row)
        shared = [tuple(some) for some in rows.values()]
        self.items = [replace(item, row=some[0]) for item, some in zip(rows, shared, strict=True)]
        self._rows = {some[0]: some for some in shared}
        self._by_row = {row: item for item, some in zip(self.items, shared, strict=True) for row in some}
        self._counts = np.zeros(len(tags), np.intp)
        self._starts = np.zeros(len(tags), np.intp)
        self._users = np.array([row for some in shared for row in some], np.uint32)
        start = 0
        for some in shared:
            self._counts[some[0]], self._starts[some[0]] = len(some), start
            start += len(some)
        self._is_shared = len(shared) < len(tags)
        self._steps = {row: _way(tag) for row, tag in enumerate(tags) if tag.element or tag.field or tag.index}
        self._selects = np.zeros(len(tags), np.bool_)
        self._selects[list(self._steps)] = True

    def rows_of(self, item: Item) -> tuple[int, ...]:
        """All tags that live on an item."""
        return self._rows[item.row]

    def items_of(self, rows: Iterable[int]) -> list[Item]:
        """The items on which these tags live, each once."""
        return list(dict.fromkeys(self._by_row[row] for row in rows))

    def spread(self, values: DataValues) -> DataValues:
        """Values by item to values by tag, each as its tag takes it.

        What is not there is bad: BadIndexRangeNoData, BadNotFound or BadNoData (see `selection`).
        """
        if self._is_shared:
            values = replace(values, columns=self._repeated(values.columns))
        if not self._steps or not self._selects[values.columns.row].any():
            return values
        return replace(values, columns=self._selected(values.columns))

    def _repeated(self, columns: ValueColumns) -> ValueColumns:
        counts = self._counts[columns.row]
        if (counts == 1).all():
            return columns
        source = np.repeat(np.arange(len(columns)), counts)
        first = np.repeat(np.cumsum(counts) - counts, counts)
        row = self._users[np.repeat(self._starts[columns.row], counts) + np.arange(source.size) - first]
        objects = {}
        if columns.objects:
            objects = {at: columns.objects[old] for at, old in enumerate(source.tolist()) if old in columns.objects}
        return ValueColumns(
            row, columns.kind[source], columns.number[source], objects, columns.status[source],
            columns.source_ns[source], columns.server_ns[source],
        )  # fmt: skip

    def _selected(self, columns: ValueColumns) -> ValueColumns:
        kind, number, status = columns.kind.copy(), columns.number.copy(), columns.status.copy()
        objects = dict(columns.objects)
        for place in np.flatnonzero(self._selects[columns.row]).tolist():
            if is_bad(int(status[place])):
                continue
            index, steps = self._steps[int(columns.row[place])]
            value = objects.pop(place, None)
            if value is None and kind[place] != KIND_NULL:  # a plain number: the server was exact about the range
                if steps:
                    status[place], kind[place], number[place] = select(0, steps)[1], KIND_NULL, np.nan
                continue
            value, fault = ranged(value, index) if index else (value, 0)
            if not fault:
                value, fault = select(value, steps)
            status[place] = fault or status[place]
            kind[place] = _KINDS.get(type(value), KIND_NOT_SCALAR)
            number[place] = value if isinstance(value, int | float) else np.nan
            if not (value is None or isinstance(value, float) or (isinstance(value, int) and abs(value) <= EXACT)):
                objects[place] = value
        return replace(columns, kind=kind, number=number, status=status, objects=objects)


def _request(device: OpcUaDevice, tag: OpcUaTag) -> Item:
    sampling = device.sampling if tag.sampling is None else tag.sampling
    return Item(-1, tag.node, sampling, device.queue_size, tag.index or "")


def _way(tag: OpcUaTag) -> tuple[str, Sequence[Step]]:
    return tag.index or "", steps_of(tag.element or "", tag.field or "")
