"""Rows for a chart."""

import numpy as np

from gateway.web.reduce import reduced

S = 1_000_000_000


def test_few_rows_stay_and_gaps_are_gaps() -> None:
    time = np.array([0, 1, 2, 60, 61], np.int64) * S
    values = np.arange(5.0)
    found = reduced(time, values, values, values, 100, gap_ns=3 * S, complete=True)
    assert found.time_ms.tolist() == [0, 1000, 2000, 3500, 60_000, 61_000]
    assert np.isnan(found.mean[3])
    assert not np.isnan(np.delete(found.mean, 3)).any()


def test_where_the_device_decides_a_value_stays_in_force() -> None:
    time = np.array([0, 3600], np.int64) * S
    values = np.ones(2)
    assert reduced(time, values, values, values, 100, gap_ns=0, complete=True).time_ms.size == 2


def test_many_rows_keep_their_extremes() -> None:
    rng = np.random.default_rng(1)
    time = np.arange(10_000, dtype=np.int64) * S
    values = rng.normal(0, 1, 10_000)
    values[4321], values[1234], values[7000:7100] = 99.0, -99.0, np.nan
    found = reduced(time, values, values, values, 200, gap_ns=3 * S, complete=True)
    assert 150 <= found.time_ms.size <= 210
    assert np.nanmax(found.max) == 99.0
    assert np.nanmin(found.min) == -99.0
    assert np.isnan(found.mean).any(), "a bucket of bad samples only is a gap"
    assert (found.min <= found.mean)[~np.isnan(found.mean)].all()


def test_nothing_is_nothing() -> None:
    empty = np.zeros(0)
    assert reduced(np.zeros(0, np.int64), empty, empty, empty, 10, gap_ns=S, complete=False).time_ms.size == 0
