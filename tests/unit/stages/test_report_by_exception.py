"""Report by exception: what a subscriber may rely on."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.blocks import WindowBlock
from gateway.core.quality import USABLE_FROM, Quality
from gateway.stages.report_by_exception import ReportByException
from gateway.stages.statistics import LastValue, Statistics, of_samples
from tests.support.blocks import GOOD, SECOND, T0, block_of
from tests.support.oracle import ReportOracle, Sample, rows_of

SILENCE = 60 * SECOND


def window_of(values: list[float], start: int = T0, quality: int = GOOD, held: float = math.nan) -> WindowBlock:
    """A window of one tag with these samples; without samples `held` is the value in force."""
    statistics = Statistics(1)
    statistics.merge(of_samples(block_of([Sample(0, start + i, v, quality) for i, v in enumerate(values)]), 1))
    in_force = LastValue(np.array([held]), np.array([start - 1]), np.array([quality], np.uint8))
    return statistics.window(start, SECOND, False, in_force)


def report(absolute: float = 0.0, fraction: float = 0.0, silence: int = SILENCE, every: bool = False) -> ReportByException:
    return ReportByException(np.array([absolute]), np.array([fraction]), np.array([silence]), every)


windows = st.lists(
    st.tuples(
        st.lists(st.integers(-20, 20).map(lambda n: n / 4), max_size=3),
        st.sampled_from([GOOD, GOOD, GOOD, Quality.UNCERTAIN_SENSOR, Quality.BAD_TIMEOUT]),
        st.integers(-5, 30),
    ),
    max_size=30,
)
bands = st.tuples(st.sampled_from([0.0, 0.25, 1.0]), st.sampled_from([0.0, 0.01, 0.5]))


@settings(max_examples=80, deadline=None)
@given(windows, bands, st.booleans())
def test_rows_equal_the_oracle(script: list[tuple[list[float], int, int]], band: tuple[float, float], every: bool) -> None:
    """First, change beyond the deadband, change of quality, max silence, clock stepped back: the oracle's rows pass."""
    real, oracle, start = report(*band, every=every), ReportOracle(*band, SILENCE, every), T0
    for values, quality, seconds in script:
        start += seconds * SECOND
        values = values if quality >= USABLE_FROM else [math.nan] * len(values)
        window = window_of(values, start, quality, held=1.0)
        assert bool(len(real.select(window))) == oracle.passes(start, rows_of(window)[0])


@settings(max_examples=80, deadline=None)
@given(st.lists(st.lists(st.integers(-99, 99).map(lambda n: 50 + n / 7), min_size=1, max_size=4), min_size=1), bands)
def test_who_holds_the_last_value_is_never_further_off_than_the_deadband(
    script: list[list[float]], band: tuple[float, float]
) -> None:
    """The guarantee: any sample of a window that is not sent lies within the deadband of the last value sent."""
    real, holds = report(*band), math.nan
    for second, values in enumerate(script):
        sent = real.select(window_of(values, T0 + second * SECOND))
        if len(sent):
            holds = float(sent.last[0])
        else:
            assert max(abs(v - holds) for v in values) <= band[0] + band[1] * abs(holds)


@pytest.mark.parametrize(("before", "after"), [(GOOD, 0x30), (0x30, GOOD), (GOOD, 0x50), (0x30, 0x08)])
def test_a_change_of_quality_always_passes(before: int, after: int) -> None:
    """From good to bad, back, to uncertain, or to another reason: told even if the value stands still."""
    real = report(absolute=100)
    values = {GOOD: [1.0], 0x50: [1.0], 0x30: [math.nan], 0x08: [math.nan]}
    assert len(real.select(window_of(values[before], T0, before))) == 1
    assert len(real.select(window_of(values[before], T0 + SECOND, before))) == 0
    assert len(real.select(window_of(values[after], T0 + 2 * SECOND, after))) == 1


def test_silence_ends_after_max_silence() -> None:
    """A tag that stands still is sent once per max silence, so a subscriber can tell it from a lost one."""
    real = report(absolute=1.0, silence=10 * SECOND)
    sent = [s for s in range(35) if len(real.select(window_of([5.0], T0 + s * SECOND)))]
    assert sent == [0, 10, 20, 30]


def test_a_percent_deadband_is_measured_against_the_last_value_sent() -> None:
    """10 % of 100 sent: 109 stays, 111 goes; then 10 % of 111: 121 stays, 123 goes."""
    real = report(fraction=0.1)
    values = [100.0, 109.0, 111.0, 121.0, 123.0]
    assert [v for i, v in enumerate(values) if len(real.select(window_of([v], T0 + i * SECOND)))] == [100.0, 111.0, 123.0]


def test_the_first_usable_value_after_bad_ones_passes_and_becomes_the_reference() -> None:
    """Bad rows never become the value that later samples are compared with."""
    real = report(absolute=1.0)
    script = [([math.nan], 0x30), ([5.0], GOOD), ([math.nan], 0x30), ([5.5], GOOD), ([6.2], GOOD), ([6.6], GOOD)]
    sent = [i for i, (values, q) in enumerate(script) if len(real.select(window_of(values, T0 + i * SECOND, q)))]
    assert sent == [0, 1, 2, 3, 5]


@pytest.mark.filterwarnings("error")
def test_the_largest_numbers_pass_without_warnings() -> None:
    """A difference beyond float64 is a change like any other."""
    real = report(fraction=0.5)
    sent = [len(real.select(window_of([v], T0 + i * SECOND))) for i, v in enumerate((1.7e308, -1.7e308, -1.7e308))]
    assert sent == [1, 1, 0]


def test_supplements_pass_untouched() -> None:
    """Late rows are few and were never seen: all of them are sent, and the value in force stays what it was."""
    real = report(absolute=100)
    real.select(window_of([1.0]))
    statistics = Statistics(1)
    statistics.merge(of_samples(block_of([Sample(0, T0 - SECOND, 1.0, GOOD)]), 1))
    late = statistics.window(T0 - SECOND, SECOND, True, LastValue.unknown(1))
    assert len(real.select(late)) == 1
    assert len(real.select(window_of([1.0], T0 + SECOND))) == 0


def test_every_window_with_samples_passes_when_asked_for() -> None:
    """`windows: all` sends what was sampled, and nothing for a tag without samples whose value stands."""
    real = report(absolute=100, every=True)
    script: list[list[float]] = [[1.0], [1.0], [], [1.0]]
    assert [len(real.select(window_of(v, T0 + i * SECOND, held=1.0))) for i, v in enumerate(script)] == [1, 1, 0, 1]


def test_a_tag_that_waits_for_its_first_sample_is_not_mentioned_for_five_seconds() -> None:
    """Then it is, once; a tag whose device is away is mentioned at once."""
    tag = report()
    rows = [len(tag.select(window_of([], T0 + n * SECOND, Quality.BAD_WAITING))) for n in range(8)]
    assert rows == [0, 0, 0, 0, 0, 1, 0, 0]
    assert len(report().select(window_of([], T0, Quality.BAD_NOT_CONNECTED))) == 1
