"""Compressed columns: what goes in comes out, bit by bit, and bytes that are none are refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.live.history.columns import SAMPLES, SPANS, Damaged, HistoryColumns, decode, encode

VALUES = st.one_of(
    st.floats(),
    st.integers(-(10**12), 10**12).map(float),
    st.decimals(-1000, 1000, places=2).map(float),
    st.sampled_from([0.0, -0.0, 0.1, 1e300, float("nan"), float("inf"), 5e-324]),
)
ROWS = st.lists(st.tuples(st.integers(0, 3), st.integers(-(2**63), 2**63 - 1), st.integers(0, 255), VALUES), max_size=40)


def columns_of(rows: list[tuple[int, int, int, float]], names: tuple[str, ...] = SAMPLES) -> HistoryColumns:
    values = np.array([row[3] for row in rows], np.float64)
    return HistoryColumns(
        np.array([row[0] for row in rows], np.uint32),
        np.array([row[1] for row in rows], np.int64),
        np.array([row[2] for row in rows], np.uint8),
        {name: values + number for number, name in enumerate(names)},
    )


def are_equal(a: HistoryColumns, b: HistoryColumns) -> bool:
    same = all((getattr(a, name) == getattr(b, name)).all() for name in ("series", "time", "quality"))
    for name, column in a.values.items():
        other = b.values[name]
        missing = np.isnan(column)
        same &= bool((missing == np.isnan(other)).all())
        same &= bool((column[~missing].view(np.int64) == other[~missing].view(np.int64)).all())
    return same


@given(ROWS, st.sampled_from([SAMPLES, SPANS]))
def test_rows_come_back_bit_by_bit(rows: list[tuple[int, int, int, float]], names: tuple[str, ...]) -> None:
    columns = columns_of(rows, names)
    back = decode(encode(columns), names)
    assert len(back) == len(rows)
    assert are_equal(columns, back)


@given(ROWS, st.data())
def test_whatever_is_no_frame_is_damaged_and_nothing_else(
    rows: list[tuple[int, int, int, float]], data: st.DataObject
) -> None:
    frame = bytearray(encode(columns_of(rows)))
    at = data.draw(st.integers(0, len(frame) - 1))
    if data.draw(st.booleans()):
        frame[at] ^= data.draw(st.integers(1, 255))
    else:
        del frame[at:]
    try:
        back = decode(bytes(frame), SAMPLES)
    except Damaged:
        return
    # A byte that decides nothing: the content is the same.
    assert are_equal(back, columns_of(rows))


@pytest.mark.parametrize("frame", [b"", b"\xff" * 9, b"\xff" * 200, encode(columns_of([(0, 0, 0, 1.0)]))[:-5]])
def test_bytes_that_claim_much_take_no_memory(frame: bytes) -> None:
    with pytest.raises(Damaged):
        decode(frame, SAMPLES)


def test_other_columns_than_asked_for_are_damaged() -> None:
    with pytest.raises(Damaged):
        decode(encode(columns_of([(0, 0, 0, 1.0)])), SPANS)


def test_quantised_values_take_about_a_byte() -> None:
    rng, n = np.random.default_rng(1), 16_384
    value = np.rint((20 + rng.normal(0, 0.2, n).cumsum() * 0.1) * 10) / 10
    time = 1_700_000_000 * 10**9 + np.arange(n) * 10**9
    columns = HistoryColumns(np.zeros(n, np.uint32), time, np.full(n, 192, np.uint8), {"value": value})
    assert len(encode(columns)) / n < 1.2
