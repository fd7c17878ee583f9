"""Between nodes and tags: tags that differ only in what they take of a value share one monitored item. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from gateway.sources.opcua.codec.columns import EXACT, KIND_NOT_SCALAR, KIND_NULL, ValueColumns
from gateway.sources.opcua.config.device import OpcUaDevice, OpcUaTag
from gateway.sources.opcua.config.item_filter import Filter
from gateway.sources.opcua.config.value_selection import Step, cut, ranged, select, steps_of
from gateway.sources.opcua.port.values import DataValues, Item
from gateway.sources.opcua.status.codes import is_bad

_BOOLEAN, _INT64, _DOUBLE, _STRING = 1, 8, 11, 12
_KINDS: Final[dict[type, int]] = {type(None): KIND_NULL, bool: _BOOLEAN, int: _INT64, float: _DOUBLE, str: _STRING}


class ItemMap:
    """The monitored items of a device's tags, and the way back from their values."""

    def __init__(self, device: OpcUaDevice, tags: Sequence[OpcUaTag]) -> None:
        """Make the items of these tags."""
        rows: dict[Item, list[int]] = defaultdict(list)
        for row, tag in enumerate(tags):
            rows[_request(device, tag)].append(row)
        self.items = [replace(item, row=place) for place, item in enumerate(rows)]
        """One for each distinct request, in the order of the first tag that uses it; `Item.row` is its place here."""
        self._tags = [tuple(some) for some in rows.values()]
        self._item = np.zeros(len(tags), np.intp)
        for place, some in enumerate(self._tags):
            self._item[list(some)] = place
        self._counts = np.array([len(some) for some in self._tags], np.intp)
        self._starts = np.cumsum(self._counts) - self._counts
        self._users = np.array([row for some in self._tags for row in some], np.uint32)
        self._is_shared = len(self.items) < len(tags)
        self._steps = {row: _way(tag) for row, tag in enumerate(tags) if tag.element or tag.field or tag.index}
        self._altered = {row for row, tag in enumerate(tags) if tag.field or tag.scale != 1 or tag.offset}
        self._selects = np.zeros(len(tags), np.bool_)
        self._selects[list(self._steps)] = True

    def tags_of(self, item: Item) -> tuple[int, ...]:
        """Return the rows of all tags that use an item."""
        return self._tags[item.row]

    def whole(self, item: Item) -> tuple[int, ...]:
        """Return the rows of the tags that take the node's own numbers: no fields, no scale, no offset."""
        return tuple(row for row in self._tags[item.row] if row not in self._altered)

    def items_of(self, tags: Iterable[int]) -> list[Item]:
        """Return the items of these tags, each once, ascending by row."""
        return [self.items[place] for place in sorted(self.rows_of(tags))]

    def rows_of(self, tags: Iterable[int]) -> set[int]:
        """Return the rows of the items of these tags."""
        return set(self._item[list(tags)].tolist())

    def spread(self, values: DataValues, *, cuts: bool = False) -> DataValues:
        """Return values by item as values by tag, each with the part that its tag selects.

        Parts that are missing are bad: BadIndexRangeNoData, BadNotFound or BadNoData (see `value_selection`). cuts: an
        array that is larger than the part that was asked for is the whole one, and is cut here.
        """
        if self._is_shared:
            values = replace(values, columns=self._repeated(values.columns))
        if not self._steps or not self._selects[values.columns.row].any():
            return values
        return replace(values, columns=self._selected(values.columns, cuts))

    def _repeated(self, columns: ValueColumns) -> ValueColumns:
        counts = self._counts[columns.row]
        if (counts == 1).all():
            return replace(columns, row=self._users[self._starts[columns.row]])
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

    def _selected(self, columns: ValueColumns, cuts: bool) -> ValueColumns:
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
            whole = value
            value, fault = ranged(whole, index) if index else (whole, 0)
            if fault and cuts:
                value, fault = cut(whole, index)
            if not fault:
                value, fault = select(value, steps)
            status[place] = fault or status[place]
            kind[place] = _KINDS.get(type(value), KIND_NOT_SCALAR)
            number[place] = value if isinstance(value, int | float) else np.nan
            if not (value is None or isinstance(value, float) or (isinstance(value, int) and abs(value) <= EXACT)):
                objects[place] = value
        return replace(columns, kind=kind, number=number, status=status, objects=objects)


def _request(device: OpcUaDevice, tag: OpcUaTag) -> Item:
    interval = device.interval if tag.interval is None else tag.interval
    if device.mode == "poll":
        return Item(-1, tag.node, 0, 1, tag.index or "", interval)
    sampling = device.sampling if tag.sampling is None else tag.sampling
    queue_size = tag.queue_size or device.queue_size
    wanted = Filter(
        tag.trigger or device.trigger, device.server_deadband if tag.server_deadband is None else tag.server_deadband
    )
    return Item(-1, tag.node, sampling, queue_size, tag.index or "", interval, wanted)


def _way(tag: OpcUaTag) -> tuple[str, Sequence[Step]]:
    return tag.index or "", steps_of(tag.element or "", tag.field or "")
