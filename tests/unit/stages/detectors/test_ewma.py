"""The adaptive detector against its per-window oracle, and what people expect of it."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.blocks import WindowBlock
from gateway.core.events.event import Event
from gateway.stages.anomalies import Anomalies
from gateway.stages.detectors.ewma import EwmaDetector
from gateway.stages.statistics import LastValue, Statistics, of_samples
from tests.support.blocks import GOOD, SECOND, T0, block_of, table
from tests.support.oracle import DetectorOracle, Sample

pytestmark = pytest.mark.filterwarnings("error")
WARMUP = 10


def window_of(values: list[float | None], start: int, late: bool = False) -> WindowBlock:
    """One sample per tag, none where the value is None."""
    statistics = Statistics(len(values))
    samples = [Sample(tag, start, v, GOOD) for tag, v in enumerate(values) if v is not None]
    statistics.merge(of_samples(block_of(samples), len(values)))
    return statistics.window(start, SECOND, late, LastValue.unknown(len(values)))


def detector(tags: int = 1, threshold: float = 5.0, memory_s: int = 60) -> Anomalies:
    """A detector on each of these tags."""
    columns = (np.full(tags, float(one)) for one in (threshold, memory_s, WARMUP))
    return Anomalies(table(tags), {"ewma": EwmaDetector(np.arange(tags, dtype=np.uint32), *columns)})


def run(real: Anomalies, values: list[float | None]) -> list[tuple[int, str]]:
    """(number of the window, state) of each event."""
    found: list[tuple[int, str]] = []
    for second, value in enumerate(values):
        with np.errstate(all="raise", under="ignore"):
            events = real.evaluate(window_of([value], T0 + second * SECOND))
        found += [(second, str(event.state)) for event in events]
    return found


numbers = st.one_of(
    st.integers(-40, 40).map(lambda n: n / 4),
    st.integers(-40, 40).map(lambda n: 1e9 + n / 1000),
    st.sampled_from([0.0, -0.0, 5e-324, 1e150, -1e150, 1e300, 1.7e308, None]),
)


@given(st.lists(st.tuples(numbers, numbers, numbers), max_size=60), st.sampled_from([1.0, 3.0, 5.0]))
def test_events_equal_the_oracle(script: list[tuple[float | None, ...]], threshold: float) -> None:
    """Scores, expectations and states of three tags side by side are those of three single ones; nothing overflows."""
    real = detector(3, threshold)
    oracles = [DetectorOracle(threshold, 1 - math.exp(-1 / 60), WARMUP) for _ in range(3)]
    for second, values in enumerate(script):
        with np.errstate(all="raise", under="ignore"):
            events: dict[int | None, Event] = {
                e.tag: e for e in real.evaluate(window_of(list(values), T0 + second * SECOND))
            }
        for tag, (oracle, value) in enumerate(zip(oracles, values, strict=True)):
            expected = oracle.sees(value)
            assert (tag in events) == (expected is not None)
            if expected is not None:
                detail = events[tag].payload()
                assert detail["state"] == ("active" if expected[0] else "cleared")
                assert detail["score"] == pytest.approx(expected[1], rel=1e-6, abs=0.011)
                assert detail["expected"] == pytest.approx(expected[2], rel=1e-9)


@given(st.lists(numbers, max_size=WARMUP))
def test_nothing_is_anomalous_while_it_is_learned(values: list[float | None]) -> None:
    """No events in the warm-up, whatever the signal does; windows without values do not count towards it."""
    assert run(detector(threshold=1.0), [*([None] * 20), *values]) == []


@pytest.mark.parametrize("constant", [-250.0])
def test_a_constant_signal_that_changes_for_good_is_told_once_and_accepted(constant: float) -> None:
    """A flag or a counter that never moved: active at once, without overflow, cleared when the new level is the norm."""
    changed = constant + max(1.0, abs(constant) / 10)
    events = run(detector(), [*([constant] * 60), *([changed] * 600)])
    assert events[0] == (60, "active")
    assert [state for _, state in events] == ["active", "cleared"]


def test_a_spike_is_told_and_cleared_and_does_not_blind_the_detector() -> None:
    """A spike of 30 sigma, over the next window; a second one a little later is found just as well."""
    noise = np.random.default_rng(7).normal(20.0, 0.1, 200).tolist()
    noise[100] = noise[110] = 23.0
    assert run(detector(), noise) == [(100, "active"), (101, "cleared"), (110, "active"), (111, "cleared")]


def test_ordinary_noise_is_no_anomaly() -> None:
    """Ten minutes of noise at 5 sigma: silence."""
    assert run(detector(), np.random.default_rng(8).normal(20.0, 0.1, 600).tolist()) == []


def test_windows_without_a_value_change_nothing() -> None:
    """An anomaly of a lost tag stays active until a value says otherwise."""
    assert run(detector(), [*([1.0] * 20), 9.0, None, None, 1.0]) == [(20, "active"), (23, "cleared")]


def test_supplements_and_tags_without_detector_are_not_judged() -> None:
    """A late block has few rows, out of turn; a tag that has not chosen the detector is left alone."""
    columns = np.array([5.0]), np.array([60.0]), np.array([float(WARMUP)])
    real = Anomalies(table(2), {"ewma": EwmaDetector(np.array([1], np.uint32), *columns)})
    for second in range(20):
        assert real.evaluate(window_of([second * 100.0, 1.0], T0 + second * SECOND)) == []
    assert real.evaluate(window_of([1e6, 1e6], T0, late=True)) == []
    (event,) = real.evaluate(window_of([1e6, 9.0], T0 + 20 * SECOND))
    assert (event.tag, event.time_ns, event.value) == (1, T0 + 21 * SECOND, 9.0)
