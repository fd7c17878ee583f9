"""Columns of data values."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gateway.sources.opcua.codec.columns import ValueColumns, concatenate
from tests.support.opcua_fake import values

STRING = 12
ROWS = st.lists(st.tuples(st.integers(0, 9), st.one_of(st.floats(-9, 9), st.text(max_size=3))), max_size=20)


def columns(rows: list[tuple[int, object]]) -> ValueColumns:
    kinds = [STRING if isinstance(value, str) else 11 for _, value in rows]
    return values([row for row, _ in rows], [value for _, value in rows], kind=kinds, source_ns=range(len(rows))).columns


def said(some: ValueColumns) -> list[tuple[int, object]]:
    numbers = zip(some.row.tolist(), some.number.tolist(), strict=True)
    return [(row, some.objects.get(place, number)) for place, (row, number) in enumerate(numbers)]


@given(ROWS, st.data())
def test_what_is_taken_keeps_its_objects(rows: list[tuple[int, object]], data: st.DataObject) -> None:
    wanted = data.draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows)))
    taken = columns(rows).select(np.array(wanted, np.bool_))
    assert said(taken) == [row for row, keep in zip(rows, wanted, strict=True) if keep]
    assert taken.source_ns.tolist() == [i for i, keep in enumerate(wanted) if keep]


@given(st.lists(ROWS, min_size=1, max_size=4))
def test_parts_are_joined_in_their_order(parts: list[list[tuple[int, object]]]) -> None:
    assert said(concatenate([columns(part) for part in parts])) == [row for part in parts for row in part]
