"""Compressed columns: what goes in comes out, bit by bit, and bytes that are none are refused."""

import base64

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.live.history import frames
from gateway.live.history.chunks import shortened
from gateway.live.history.columns import SAMPLES, SPANS, Damaged, HistoryColumns
from gateway.live.history.frames import decode

VALUES = st.one_of(
    st.floats(),
    st.integers(-(10**12), 10**12).map(float),
    st.decimals(-1000, 1000, places=2).map(float),
    st.sampled_from([0.0, -0.0, 0.1, 1e300, float("nan"), float("inf"), 5e-324]),
)
ROWS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(-(2**63), 2**63 - 1), st.integers(0, 255), VALUES), min_size=1, max_size=40
)


def encode(columns: HistoryColumns) -> bytes:
    """One frame of all rows."""
    return b"".join(data for _, data in frames.encode(columns))


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


FIRST = (
    "AwAAAGEAAAABASi1L/0kYSUCACJEDRnANXO//p0zreprMSZEr/pCVBMvi6FDSpkC"
    "J9A4CiS09nQTNysnjCFrARbmHe7n6OoePF1dBAC5Bl81jaj8tQIn5DNlyw=="
)
"""A frame as it was written at first."""


def test_frames_of_the_first_form_are_read() -> None:
    back = decode(base64.b64decode(FIRST), SAMPLES)
    assert back.series.tolist() == [3, 3, 9]
    assert back.time.tolist() == [10**18, 10**18 + 10**9, 10**18]
    assert back.quality.tolist() == [192, 192, 20]
    assert back.values["value"][[0, 2]].tolist() == [1.5, -2.25]
    assert np.isnan(back.values["value"][1])


def test_tags_of_other_kinds_cost_a_tag_nothing() -> None:
    """A device with values in steps and values of float32, in turn."""
    rng, n = np.random.default_rng(1), 200
    steps = np.rint(rng.normal(20, 1, (40, n)) * 10) / 10
    single = rng.normal(20, 1, (40, n)).astype(np.float32)
    time = np.tile(1_700_000_000 * 10**9 + np.arange(n) * 10**9, 40)
    series = np.repeat(np.arange(40, dtype=np.uint32), n)

    def size(value: np.ndarray) -> int:
        return len(encode(HistoryColumns(series, time, np.full(40 * n, 192, np.uint8), {"value": value.ravel()})))

    mixed = np.where(np.arange(40)[:, None] % 2 == 0, steps, single.astype(np.float64))
    assert size(mixed) < (size(steps) + size(single.astype(np.float64))) * 0.75


def test_minutes_of_steps_take_few_bytes_and_come_back() -> None:
    rng, tags, minutes = np.random.default_rng(1), 200, 10
    value = np.rint((100 + rng.normal(0, 0.3, (tags, minutes * 60)).cumsum(axis=1)) * 10) / 10
    seconds = value.reshape(tags, minutes, 60)
    low, high, mean = (f(axis=2).ravel() for f in (seconds.min, seconds.max, seconds.mean))
    spans = HistoryColumns(
        np.repeat(np.arange(tags, dtype=np.uint32), minutes),
        np.tile(np.arange(minutes) * 60 * 10**9, tags),
        np.full(tags * minutes, 192, np.uint8),
        dict(zip(SPANS, (low, high, mean, np.full(tags * minutes, 60.0)), strict=True)),
    )
    short = shortened(spans)
    assert len(encode(short)) < 4.5 * len(spans)
    assert are_equal(short, decode(encode(short), SPANS))
