"""Statistics that merge: columns against sums over samples."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.quality import GOOD_FROM, USABLE_FROM, Quality
from gateway.stages.statistics import LastValue, Statistics, of_samples, of_window
from tests.support import blocks
from tests.support.blocks import GOOD, SECOND, T0, block_of
from tests.support.oracle import Row, Sample, differences, rows_of, statistics_of


def in_time_order(samples: list[Sample]) -> list[Sample]:
    return sorted(samples, key=lambda s: s.time)


def rows_after(parts: list[list[Sample]], tags: int = 3) -> dict[int, Row]:
    statistics = Statistics(tags)
    for part in parts:
        statistics.merge(of_samples(block_of(in_time_order(part)), tags))
    return rows_of(statistics.window(T0, SECOND, False, LastValue.unknown(tags)))


@settings(max_examples=80, deadline=None)
@given(st.lists(blocks.samples(3), min_size=1, max_size=5))
def test_merging_parts_gives_the_statistics_of_all_samples(parts: list[list[Sample]]) -> None:
    """Counts, extremes, mean, spread, first, last and quality do not depend on how the samples were cut."""
    real, together = rows_after(parts), [s for part in parts for s in part]
    for tag in range(3):
        expected = statistics_of([s for s in together if s.tag == tag])
        if expected.count:
            assert not differences(real[tag], expected)


def test_a_large_offset_with_small_noise_keeps_its_spread() -> None:
    """1e9 +- 0.001: sums of squares would have no correct digit left, two passes and exact merges have six."""
    noise = np.random.default_rng(3).normal(0, 1e-3, 900)
    samples = [Sample(0, T0 + i, 1e9 + v, GOOD) for i, v in enumerate(noise.tolist())]
    exact = math.sqrt(math.fsum((s.value - 1e9) ** 2 for s in samples) / 900 - (math.fsum(noise) / 900) ** 2)
    for parts in ([samples], [samples[i : i + 7] for i in range(0, 900, 7)]):
        row = rows_after(parts, 1)[0]
        assert row.std == pytest.approx(exact, rel=1e-4)
        assert row.min <= row.mean <= row.max


def test_equal_samples_have_no_spread() -> None:
    """0.1 three hundred times: mean 0.1 and std 0, not 0.10000000000000002 and 1e-17."""
    samples = [Sample(0, T0 + i, 0.1, GOOD) for i in range(300)]
    row = rows_after([samples[:7], samples[7:]], 1)[0]
    assert (row.mean, row.std, row.min, row.max) == (0.1, 0.0, 0.1, 0.1)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("huge", [1e200, 1.7e308])
def test_numbers_beyond_any_square_hurt_only_their_own_spread(huge: float) -> None:
    """A float64 read with the wrong byte order: no warning, one sample has std 0, other tags and later parts are exact."""
    parts = [[Sample(0, T0, huge, GOOD)], [Sample(1, T0, 2.0, GOOD)], [Sample(1, T0, 4.0, GOOD)]]
    rows = rows_after(parts, 2)
    assert (rows[0].mean, rows[0].std) == (huge, 0.0)
    assert (rows[1].mean, rows[1].std) == (3.0, 1.0)
    both = rows_after([[Sample(0, T0, huge, GOOD)], [Sample(0, T0, -huge, GOOD)]], 1)[0]
    assert (both.min, both.max, both.count) == (-huge, huge, 2)


@pytest.mark.parametrize(
    ("qualities", "gap", "expected"),
    [
        ([0xC0, 0xC0], False, 0xC0),
        ([0xC0, 0xD8], False, 0xC0),
        ([0xC0, 0xC0], True, Quality.UNCERTAIN_PARTIAL),
        ([0xC0, 0x50, 0x5C], False, 0x50),
        ([0xC0, 0x50, 0x30], False, Quality.UNCERTAIN_PARTIAL),
        ([0x50, 0x50], False, 0x50),
        ([0x30, 0x18], False, 0x18),
        ([0x30], True, 0x30),
        ([], False, Quality.BAD_WAITING),
    ],
)
def test_quality_is_good_only_if_every_sample_is(qualities: list[int], gap: bool, expected: int) -> None:
    """Bad only if none can be used, uncertain between, the worst reason; without samples that of the value in force."""
    statistics = Statistics(1)
    samples = [Sample(0, T0 + i, 1.0 if q >= USABLE_FROM else math.nan, q) for i, q in enumerate(qualities)]
    statistics.merge(of_samples(block_of(samples), 1))
    statistics.gap[:] = gap
    row = rows_of(statistics.window(T0, SECOND, False, LastValue.unknown(1)))[0]
    assert row.quality == expected
    assert row.good == sum(q >= GOOD_FROM for q in qualities)


@settings(max_examples=60, deadline=None)
@given(st.lists(blocks.samples(2, late=False), min_size=1, max_size=6))
def test_windows_can_be_merged_again(parts: list[list[Sample]]) -> None:
    """A summary is made of windows: count, extremes, mean and spread are those of the samples, the mean stays inside."""
    whole = Statistics(2)
    for number, part in enumerate(parts):
        window = Statistics(2)
        window.merge(of_samples(block_of(in_time_order(part)), 2))
        whole.merge(of_window(window.window(T0 + number * SECOND, SECOND, False, LastValue.unknown(2))))
    rows = rows_of(whole.window(T0, 60 * SECOND, False, LastValue.unknown(2)))
    for tag in range(2):
        expected = statistics_of([s for part in parts for s in part if s.tag == tag])
        assert not differences(rows[tag], expected, ("count", "good", "used", "min", "max"))
        assert rows[tag].quality >> 6 == (expected.quality >> 6 if expected.count else 0)


@pytest.mark.filterwarnings("error")
def test_a_mean_between_opposite_extremes_is_between_them() -> None:
    """Sums and differences beyond float64, within a part and between parts: the mean is 0, not the largest number."""
    huge = 1.7e308
    values = [huge, huge, -huge, -huge]
    samples = [Sample(0, T0 + i, v, GOOD) for i, v in enumerate(values)]
    for parts in ([samples], [samples[:2], samples[2:]]):
        assert rows_after(parts, 1)[0].mean == 0.0
