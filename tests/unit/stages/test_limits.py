"""Limits: conditions that alternate, with hysteresis, on every sample."""

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.events.event import Event
from gateway.stages.limits import CONDITIONS, Limits
from tests.support import blocks
from tests.support.blocks import GOOD, T0, TICK, block_of, cut, ordered_per_tag, table
from tests.support.oracle import LimitOracle, Sample

NAN = float("nan")
LIMITS = np.array([[8.0, 5.0, NAN], [4.0, 5.0, NAN], [-4.0, NAN, NAN], [-8.0, -9.0, NAN]])
HYSTERESIS = np.array([[0.5, 0.0, 1.0]] * 4)


def summary(events: list[Event]) -> list[tuple[int, int, str, str, float]]:
    return [(e.time_ns, e.tag, e.condition, e.state, e.value) for e in events]


def expected_of(samples: list[Sample]) -> list[tuple[int, int, str, str, float]]:
    """The events of one state machine per tag and condition."""
    machines = {
        (tag, name): LimitOracle(sign, LIMITS[row, tag], HYSTERESIS[row, tag])
        for row, (name, sign, _) in enumerate(CONDITIONS)
        for tag in range(3)
    }
    events = []
    for s in samples:
        for (tag, name), machine in machines.items():
            if tag == s.tag and (new := machine.sees(s)) is not None:
                events.append((s.time, tag, name, "active" if new else "cleared", s.value))
    return events


@settings(max_examples=80, deadline=None)
@given(blocks.samples(3, most=40), st.lists(st.integers(0, 99), max_size=8))
def test_events_equal_the_state_machine_however_the_samples_are_cut(samples: list[Sample], places: list[int]) -> None:
    """Same tags, times, conditions, states and values; each condition alternates between active and cleared."""
    samples = ordered_per_tag(samples)
    limits = Limits(table(3), LIMITS, HYSTERESIS)
    found = [event for block in cut(samples, places) for event in summary(limits.evaluate(block))]
    assert sorted(found) == sorted(expected_of(samples))
    states = defaultdict(list)
    for _, tag, condition, state, _ in found:
        states[tag, condition].append(state)
    for column in states.values():
        assert column == (["active", "cleared"] * len(column))[: len(column)]


@settings(max_examples=60, deadline=None)
@given(blocks.samples(3, most=40))
def test_events_of_a_block_come_in_the_order_of_their_times(samples: list[Sample]) -> None:
    """Several tags and conditions in one block: their events are told as they happened."""
    times = [event.time_ns for event in Limits(table(3), LIMITS, HYSTERESIS).evaluate(block_of(ordered_per_tag(samples)))]
    assert times == sorted(times)


@pytest.mark.parametrize(
    ("values", "states"),
    [
        ([3.9, 4.0], ["hi active"]),
        ([4.0, 3.6, 3.5, 3.4999], ["hi active", "hi cleared"]),
        ([9.0], ["hihi active", "hi active"]),
        ([9.0, -9.0], ["hihi active", "hi active", "hihi cleared", "hi cleared", "lo active", "lolo active"]),
        ([9.0, NAN, 7.0], ["hihi active", "hi active", "hihi cleared"]),
        ([-4.0, -3.5, -3.4], ["lo active", "lo cleared"]),
    ],
)
def test_at_the_limit_is_alarm_and_clearing_takes_more_than_the_hysteresis(values: list[float], states: list[str]) -> None:
    """Limits hihi 8, hi 4, lo -4, lolo -8 with hysteresis 0.5; an unusable value changes nothing."""
    qualities = [0x28 if v != v else GOOD for v in values]
    block = block_of([Sample(0, T0 + i, v, q) for i, (v, q) in enumerate(zip(values, qualities, strict=True))])
    events = Limits(table(3), LIMITS, HYSTERESIS).evaluate(block)
    assert [f"{e.condition} {e.state}" for e in events] == states


def test_an_alarm_of_a_lost_tag_stays_active() -> None:
    """Bad samples neither clear an alarm nor raise it again; the next good one decides."""
    limits = Limits(table(3), LIMITS, HYSTERESIS)
    steps = [(9.0, GOOD), (NAN, 0x08), (9.5, GOOD), (0.0, GOOD)]
    found = [[e.state for e in limits.evaluate(block_of([Sample(0, T0, v, q)]))] for v, q in steps]
    assert found == [["active", "active"], [], [], ["cleared", "cleared"]]


def test_an_event_says_which_limit_and_how_severe() -> None:
    """Fields of the contract: condition, severity, value, limit; time of the sample, device and tag."""
    limits = Limits(table(3, devices=3), LIMITS, HYSTERESIS)
    (event,) = limits.evaluate(block_of([Sample(1, T0 + TICK, -9.5, GOOD)]))
    assert (event.kind, event.time_ns, event.device, event.tag) == ("alarm", T0 + TICK, 1, 1)
    assert event.payload() == {"state": "active", "condition": "lolo", "severity": 800, "value": -9.5, "limit": -9.0}


def test_tags_without_limits_cost_nothing_and_say_nothing() -> None:
    """No limits at all: no events, whatever the values."""
    limits = Limits(table(1), np.full((4, 1), NAN), np.ones((4, 1)))
    assert limits.evaluate(block_of([Sample(0, T0, 1e300, GOOD)])) == []
