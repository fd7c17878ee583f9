"""Chunks: selection by series and time against a loop over rows; roll-ups against a slow oracle; ceilings."""

import math
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.live.history import chunks as chunks_module
from gateway.live.history.chunks import chosen_frames, in_time_order, rolled_up, rows_of, seal, shortened
from gateway.live.history.columns import SAMPLES, SPANS, HistoryColumns
from gateway.live.history.memory import ChunkMemory

MINUTE = 60_000_000_000


def samples(rows: list[tuple[int, int, float]]) -> HistoryColumns:
    return HistoryColumns(
        np.array([row[0] for row in rows], np.uint32),
        np.array([row[1] for row in rows], np.int64),
        np.full(len(rows), 192, np.uint8),
        {"value": np.array([row[2] for row in rows], np.float64)},
    )


@given(
    st.lists(
        st.tuples(st.sampled_from([0, 1, 2, 7, 70_000]), st.integers(0, 50), st.floats(-5, 5)), min_size=1, max_size=60
    ),
    st.sets(st.sampled_from([0, 1, 2, 7, 9, 70_000])),
    st.integers(0, 50),
    st.integers(0, 50),
)
@settings(deadline=None)
def test_what_is_found_is_what_a_loop_finds(rows, wanted, begin, end) -> None:  # type: ignore[no-untyped-def]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunks_module, "FRAME_ROWS", 7)
        chunk = seal(samples(rows))
    series = np.array(sorted(wanted), np.uint32)
    parts = [
        rows_of(chunk.data[at : at + size], SAMPLES, series, begin, end)
        for at, size in chosen_frames(chunk.frames, series, begin, end)
    ]
    found = in_time_order(parts, SAMPLES)
    expected = sorted(((s, t, v) for s, t, v in rows if s in wanted and begin <= t < end), key=lambda row: (row[0], row[1]))
    assert list(zip(found.series.tolist(), found.time.tolist(), found.values["value"].tolist(), strict=True)) == expected


SPAN_ROWS = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 30), st.floats(-100, 100), st.floats(0, 5), st.integers(0, 9)), max_size=40
)


@given(SPAN_ROWS)
def test_spans_are_rolled_up_as_a_loop_does(rows) -> None:  # type: ignore[no-untyped-def]
    count = np.array([float(row[4]) for row in rows])
    low = np.where(count > 0, [row[2] for row in rows], np.nan) if rows else np.zeros(0)
    high = low + np.array([row[3] for row in rows])
    quality = np.array([192 if row[4] else 20 for row in rows], np.uint8)
    columns = HistoryColumns(
        np.array([row[0] for row in rows], np.uint32),
        np.array([row[1] * MINUTE for row in rows], np.int64),
        quality,
        {"min": low, "max": high, "mean": (low + high) / 2, "count": count},
    )
    expected = defaultdict(list)
    for row, (series, minute, *_rest) in enumerate(rows):
        expected[series, minute // 10 * 10 * MINUTE].append(row)
    merged = rolled_up(columns, 10 * MINUTE)
    assert list(zip(merged.series.tolist(), merged.time.tolist(), strict=True)) == sorted(expected)
    for place, key in enumerate(sorted(expected)):
        own = [row for row in expected[key] if count[row]]
        assert merged.values["count"][place] == sum(count[own])
        assert merged.quality[place] == (192 if own else 20)
        if not own:
            assert math.isnan(merged.values["mean"][place])
            continue
        assert merged.values["min"][place] == min(low[own])
        assert merged.values["max"][place] == max(high[own])
        mean = sum(columns.values["mean"][row] * count[row] for row in own) / sum(count[own])
        assert merged.values["mean"][place] == pytest.approx(mean, abs=1e-9)


def test_a_shortened_mean_stays_within_its_range_and_near() -> None:
    low, high = np.array([1e9, 1.0, np.nan]), np.array([1e9 + 8, 1.5, np.nan])
    mean = np.array([1e9 + 3.3, 1.2345678912345, np.nan])
    columns = HistoryColumns(
        np.zeros(3, np.uint32),
        np.arange(3, dtype=np.int64),
        np.full(3, 192, np.uint8),
        dict(zip(SPANS, (low, high, mean, np.ones(3)), strict=True)),
    )
    short = shortened(columns).values["mean"]
    assert (np.abs(short - mean)[:2] <= (high - low)[:2] / 1_000).all()
    assert ((low <= short) & (short <= high))[:2].all()
    assert np.isnan(short[2])


def test_memory_forgets_the_oldest_by_bytes_and_by_age() -> None:
    memory = ChunkMemory(4_000, 100)
    for at in range(20):
        memory.add(seal(samples([(0, 10 * at, 1.0)])))
    assert memory.bytes <= 4_000
    assert memory.begin is not None
    assert 0 < memory.begin == memory.forgotten_ns + 10
    memory.forget(190 + 50)
    assert memory.begin == 140
    memory.forget(10_000)
    assert memory.begin is None
    assert memory.bytes == 0
