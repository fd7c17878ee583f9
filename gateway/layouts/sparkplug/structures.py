"""Structures as templates, arrays of structures as data sets (Sparkplug 3.0.0, 6.4.11 to 6.4.14), from values alone. Pure.

A stored message has values and no types, so a tag's shape is what its values have shown so far. It only grows: a member that
was absent or null until now, an integer that becomes a float. What does not fit into one shape becomes text for ever.
"""

import hashlib
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import orjson

from gateway.layouts.sparkplug.wire import DataType, set_value

MOST_MEMBERS: Final = 500
"""Members of a structure, those of inner structures included; what has more is text."""
DEEPEST: Final = 8
_VERSION: Final = "1"
_LARGEST_EXACT: Final = 2**53
_INT64: Final = 2**63
_NAMES_SHOWN, _NAME_LENGTH = 3, 24
_NOT_PLAIN: Final = re.compile(r"[^A-Za-z0-9_]+")


@dataclass(frozen=True)
class Shape:
    """The type of a value: a simple one, a structure (TEMPLATE with members) or a table (DATASET with columns)."""

    kind: DataType
    fields: tuple[tuple[str, "Shape"], ...] = ()
    """Names and shapes of members or columns, in the order in which they were first seen."""
    is_known: bool = True
    """Whether a value has shown it; else null, and an empty list, are all that there was."""
    is_wide: bool = False
    """There was an integer that no double carries."""
    was_list: bool = False
    """There was an empty list, so it can still be a table or text, nothing else."""

    @cached_property
    def name(self) -> str:
        """Return the name of the template: the first members, and a hash of all names and types. Each run has the same."""
        text = orjson.dumps(self._description())
        shown = "_".join(_NOT_PLAIN.sub("", name)[:_NAME_LENGTH] for name, _ in self.fields[:_NAMES_SHOWN])
        return f"{shown}_{hashlib.sha256(text).hexdigest()[:8]}"

    def _description(self) -> Any:
        return [int(self.kind), [[name, shape._description()] for name, shape in self.fields]]

    def templates(self) -> Iterator["Shape"]:
        """Yield the templates that this one consists of, inner ones first."""
        for _, shape in self.fields if self.kind is DataType.TEMPLATE else ():
            yield from shape.templates()
        if self.kind is DataType.TEMPLATE:
            yield self

    @cached_property
    def size(self) -> int:
        """Return the number of members, inner ones included."""
        return sum(1 + shape.size for _, shape in self.fields)


TEXT: Final = Shape(DataType.STRING)
_NULL: Final = Shape(DataType.STRING, is_known=False)
_EMPTY: Final = Shape(DataType.STRING, is_known=False, was_list=True)


def grown(known: Shape | None, value: Any) -> Shape:
    """Return the shape that carries `value` and all that `known` does; `known` itself where it does already."""
    known = known or _NULL
    shape = _grown(known, value, DEEPEST)
    return known if shape == known else TEXT if shape.size > MOST_MEMBERS else shape


def _grown(known: Shape, value: Any, levels: int) -> Shape:
    if value is None or known == TEXT:
        return known
    if isinstance(value, list):
        return _table(known, value)
    if known.was_list:
        return TEXT
    if isinstance(value, dict):
        return _structure(known, value, levels)
    return _scalar(known, value)


def _structure(known: Shape, value: Mapping[str, Any], levels: int) -> Shape:
    if not value or not levels or (known.is_known and known.kind is not DataType.TEMPLATE):
        return known if known.kind is DataType.TEMPLATE and levels else TEXT
    members = dict(known.fields)
    for name, inner in value.items():
        members[name] = _grown(members.get(name, _NULL), inner, levels - 1)
    return Shape(DataType.TEMPLATE, tuple(members.items()))


def _table(known: Shape, value: Sequence[Any]) -> Shape:
    if not value:
        return known if known.kind is DataType.DATASET else TEXT if known.is_known else _EMPTY
    if (known.is_known and known.kind is not DataType.DATASET) or not all(isinstance(row, dict) and row for row in value):
        return TEXT
    columns = dict(known.fields)
    for row in value:
        for name, cell in row.items():
            columns[name] = _column(columns.get(name, _NULL), cell)
    shapes = {name: shape if shape.is_known else Shape(DataType.DOUBLE) for name, shape in columns.items()}
    if any(shape.kind is DataType.UINT64 for shape in shapes.values()):
        return TEXT  # Tahu's library for JavaScript refuses the whole payload for it
    before = dict(known.fields)
    for name, shape in shapes.items():
        is_double = (before[name].kind if name in before else DataType.DOUBLE) is DataType.DOUBLE
        if before and is_double and shape.kind is not DataType.DOUBLE:
            return TEXT  # rows that came before may have no value there
    without_null = {name for name, shape in shapes.items() if shape.kind is not DataType.DOUBLE}
    if any(row.get(name) is None for row in value for name in without_null):
        return TEXT  # a cell has to have a value (tck-id-payloads-template-dataset-value), and only a double has NaN
    return Shape(DataType.DATASET, tuple(shapes.items()))


def _column(known: Shape, cell: Any) -> Shape:
    """Return the shape of a column that has another cell.

    Integers below 0 make it a double: Tahu's library for JavaScript reads them as 2^64 more.
    """
    if cell is None or known == TEXT:
        return known
    if isinstance(cell, dict | list):
        return TEXT
    if type(cell) is int and -_LARGEST_EXACT <= cell < 0:
        cell = float(cell)
    return TEXT if type(cell) is int and cell < 0 else _scalar(known, cell)


def _scalar(known: Shape, value: Any) -> Shape:
    shape = _shape_of(value)
    if not known.is_known or known == shape:
        return shape
    kinds = {known.kind, shape.kind}
    if kinds == {DataType.INT64}:
        return known if known.is_wide else shape
    if kinds == {DataType.INT64, DataType.DOUBLE}:
        return TEXT if known.is_wide or shape.is_wide else Shape(DataType.DOUBLE)
    if known.kind is DataType.UINT64 and isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return known
    return TEXT


def _shape_of(value: Any) -> Shape:
    if isinstance(value, bool):
        return Shape(DataType.BOOLEAN)
    if isinstance(value, int):
        kind = DataType.INT64 if -_INT64 <= value < _INT64 else DataType.UINT64
        return Shape(kind, is_wide=abs(value) > _LARGEST_EXACT)
    return Shape(DataType.DOUBLE) if isinstance(value, float) else TEXT


def write_structure(entry: Any, shape: Shape, value: Any, time_ms: int) -> None:
    """Put a value into a metric of type TEMPLATE or DATASET. None is null, with its members or columns all the same.

    Tahu's library for JavaScript reads no template and no data set without them.
    """
    if value is None:
        entry.is_null = True
    if shape.kind is DataType.DATASET:
        _write_table(entry.dataset_value, shape, value or ())
        return
    entry.template_value.template_ref = shape.name
    entry.template_value.is_definition = False
    _write_members(entry.template_value, shape, value or {}, time_ms)


def write_definition(entry: Any, shape: Shape, time_ms: int) -> None:
    """Put a template definition into a metric of the node's birth, whose name is the shape's."""
    entry.template_value.is_definition = True
    _write_members(entry.template_value, shape, {}, time_ms)


def _write_members(template: Any, shape: Shape, value: Mapping[str, Any], time_ms: int) -> None:
    template.version = _VERSION
    for name, inner in shape.fields:
        member = template.metrics.add(name=name, timestamp=time_ms, datatype=inner.kind)
        if inner.kind in (DataType.TEMPLATE, DataType.DATASET):
            write_structure(member, inner, value.get(name), time_ms)
        else:
            set_value(member, inner.kind, _as(inner.kind, value.get(name)))


def _write_table(table: Any, shape: Shape, rows: Sequence[Mapping[str, Any]]) -> None:
    table.num_of_columns = len(shape.fields)
    for name, column in shape.fields:
        table.columns.append(name)
        table.types.append(column.kind)
    for row in rows:
        written = table.rows.add()
        for name, column in shape.fields:
            value = row.get(name)
            set_value(written.elements.add(), column.kind, math.nan if value is None else _as(column.kind, value))


def _as(kind: DataType, value: Any) -> Any:
    """Return a value as its type carries it: text for whatever stands in a place for text."""
    if value is None or isinstance(value, str):
        return value
    if kind is DataType.STRING:
        return orjson.dumps(value).decode()
    return float(value) if kind is DataType.DOUBLE else value
