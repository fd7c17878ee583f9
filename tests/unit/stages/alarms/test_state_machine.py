"""Every kind of alarm equals its oracle: same transitions at the same times, however the samples are cut into blocks."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.events.process import LimitAlarm
from gateway.core.tags import Tag, TagTable
from gateway.stages.alarms.alarms import Alarms
from gateway.stages.alarms.flood_config import AlarmsConfig
from gateway.stages.config import TagPolicy
from tests.support.alarm_oracle import AlarmOracle, Said
from tests.support.blocks import GOOD, SECOND, T0, TICK, block_of, cut
from tests.support.oracle import Sample

NAN, INF = math.nan, math.inf
TABLE = TagTable(("press",), tuple(Tag(i, 0, f"tag{i}", range=(0.0, 10.0) if i == 2 else None) for i in range(4)))
EVERY_CHANGE = AlarmsConfig(most=100_000, hold_chattering=False)
LATE = T0 + 10_000 * SECOND

DELAYED = {"on_delay": "1s", "off_delay": "2s"}, {"on_delay": SECOND, "off_delay": 2 * SECOND}
PAIRED = {"on_delay": "200ms", "off_delay": "100ms"}, {"on_delay": 2 * TICK, "off_delay": TICK}
ALARMS: list[tuple[int, dict[str, Any], dict[str, Any]]] = [
    (0, {"hihi": 8, "hysteresis": 0.5}, {"limit": 8.0, "band": 0.5}),
    (0, {"hi": 4, "hysteresis": "10%"}, {"limit": 4.0, "share": 0.1, "most_band": 4.0, "off_delay": 30 * SECOND}),
    (0, {"lo": -4, "hysteresis": 0.25, **DELAYED[0]}, {"limit": -4.0, "band": 0.25, **DELAYED[1]}),
    (0, {"lolo": -8, "hysteresis": "0"}, {"limit": -8.0}),
    (1, {"rate": 3, "hysteresis": 1}, {"limit": 3.0, "band": 1.0}),
    (1, {"normal": [True, 2, -0.25], "on_delay": "300ms"}, {"limit": 1.0, "normal": (1, 2, -0.25), "on_delay": 3 * TICK}),
    (2, {"hi": 5, "hysteresis": "5%", "off_delay": "0s"}, {"limit": 5.0, "band": 0.5}),
    (
        2,
        {"deviation": 5, "set_point": "tag1", "hysteresis": 1, **PAIRED[0]},
        {"limit": 5.0, "other": 1, "band": 1.0, **PAIRED[1]},
    ),
    (
        3,
        {"discrepancy": 4, "other": "tag0", "hysteresis": "20%", "off_delay": "400ms"},
        {"limit": 4.0, "other": 0, "share": 0.2, "most_band": 2.0, "on_delay": 5 * SECOND, "off_delay": 4 * TICK},
    ),
]


def alarms() -> Alarms:
    policies = [TagPolicy(alarms=[config for tag, config, _ in ALARMS if tag == one]) for one in range(4)]
    return Alarms(TABLE, policies, T0, EVERY_CHANGE)


def oracles() -> list[AlarmOracle]:
    kinds = {"rate": "rate_of_change", "normal": "off_normal"}
    return [
        AlarmOracle(kinds.get(next(iter(config)), next(iter(config))), tag=tag, **parameters)
        for tag, config, parameters in ALARMS
    ]


def said(events: list[LimitAlarm]) -> list[tuple[int, str, Said]]:
    return [(e.tag, e.alarm, Said(e.time_ns, e.state, e.quality, e.value, e.onset)) for e in events]


def rounded(found: list[tuple[int, str, Said]]) -> list[str]:
    return sorted(repr(one) for one in found)


@st.composite
def streams(draw: st.DrawFn) -> list[Sample]:
    """Samples in the order of time: equal times, gaps, bad ones, values at the limits, infinities, NaN, large offsets."""
    numbers = st.one_of(
        st.integers(-40, 40).map(lambda n: n / 4),
        st.sampled_from([4.0, 8.0, -8.0, 5.0, 1.0, 2.0, NAN, INF, -INF, 1e15, 1e15 + 4, -1.7e308, 1.7e308]),
    )
    time, found = T0, []
    for _ in range(draw(st.integers(0, 40))):
        time += draw(st.sampled_from([0, 0, 1, 1, 2, 3, 10, 50, 400])) * TICK
        quality = draw(st.sampled_from([GOOD] * 6 + [0x5C, 0x30]))
        value = draw(numbers) if quality >= 0x40 else NAN
        found.append(Sample(draw(st.integers(0, 3)), time, value, quality))
    return found


@given(streams(), st.lists(st.integers(0, 99), max_size=8), st.booleans())
def test_events_equal_the_oracle_however_the_samples_are_cut(samples: list[Sample], places: list[int], ticks: bool) -> None:
    """`ticks`: somebody looks after each block, up to the time of its last sample."""
    real, machines = alarms(), oracles()
    found = []
    for block in cut(samples, places):
        found += said(real.push(block, LATE))
        if ticks and len(block):
            found += said(real.tick(int(block.time[-1]) - 1, LATE))
    found += said(real.tick(LATE, LATE))
    for machine in machines:
        for sample in samples:
            machine.sees(sample)
        machine.waits_until(LATE)
    expected = [
        (machine.tag, machine.kind, one._replace(onset=one.onset // 1_000_000))
        for machine in machines
        for one in machine.found
    ]
    assert rounded(found) == rounded(expected)
    active = {(m.tag, m.kind) for m in machines if m.active}
    conditions = real.conditions
    rows = np.flatnonzero(real.active).tolist()
    assert {(int(conditions.tag[row]), conditions.configs[row].kind) for row in rows} == active


@given(streams())
def test_events_of_a_block_come_in_the_order_of_their_times(samples: list[Sample]) -> None:
    times = [event.time_ns for event in alarms().push(block_of(samples), LATE)]
    assert times == sorted(times)


def one(policy: dict[str, Any], interval_ns: int = 0, **tag: Any) -> Alarms:
    return Alarms(TagTable(("press",), (Tag(0, 0, "tag0", interval_ns=interval_ns, **tag),)), [TagPolicy(**policy)], T0)


def push(real: Alarms, *values: float, step: int = SECOND, at: int = T0) -> list[LimitAlarm]:
    samples = [Sample(0, at + i * step, v, GOOD if v == v else 0x30) for i, v in enumerate(values)]
    return real.push(block_of(samples), LATE)


@pytest.mark.parametrize("offset", [0.0, 2705.0, -1e15])
@pytest.mark.parametrize(
    ("interval", "spread"), [(SECOND // 10, 1.0), (SECOND, 1.0), (2 * SECOND, 50.0), (5 * SECOND, 0.01)]
)
def test_a_value_that_rests_on_its_limit_is_one_alarm(interval: int, spread: float, offset: float) -> None:
    """Noise on the limit for an hour, at the defaults: at most two events."""
    noise = np.random.default_rng(15).normal(offset, spread, 3600 * SECOND // interval)
    real = one({"hi": offset}, interval)
    assert len(push(real, *noise.tolist(), step=interval)) <= 2


def test_a_limit_far_from_zero_clears() -> None:
    """2,705 kPa: 1 % of the limit would be 27 kPa, more than the value ever moves."""
    values = [2700.0, 2706.0, *[2701.0] * 40]
    found = push(one({"hi": 2705}), *values)
    assert [(e.state, (e.time_ns - T0) // SECOND) for e in found] == [("active", 1), ("cleared", 32)]


def test_what_an_event_says() -> None:
    alarm = {
        "hi": 4,
        "name": "hot",
        "on_delay": "2s",
        "severity": 700,
        "message": "{device}/{tag} {condition}: {value} {unit} over {limit}",
    }
    (event,) = push(one({"alarms": [alarm]}, unit="°C"), 5.0, 6.0, 7.0)
    assert event.payload() == {
        "state": "active", "condition": "hot", "severity": 700, "value": 5.0, "limit": 4.0, "alarm": "hi",
        "priority": "high", "onset": T0 // 1_000_000, "quality": "good", "message": "press/tag0 hot: 5 °C over 4",
        "first_out": "tag0 hot",
    }  # fmt: skip
    assert event.time_ns == T0 + 2 * SECOND


def test_a_bad_value_clears_nothing_and_is_said() -> None:
    found = push(one({"hi": 4, "hysteresis": 0}), 5.0, NAN, 5.0, NAN, 1.0)
    assert [(e.state, e.quality, e.reason) for e in found] == [
        ("active", "good", None), ("active", "bad", "timeout"), ("active", "good", None), ("active", "bad", "timeout"),
        ("cleared", "good", None),
    ]  # fmt: skip


def test_a_shelved_alarm_is_said_when_its_time_is_over() -> None:
    real = one({"alarms": [{"hi": 4, "shelved_for": "10s"}]})
    assert real.push(block_of([Sample(0, T0, 5.0, GOOD)]), T0) == []
    assert real.tick(T0 + 9 * SECOND, T0 + 9 * SECOND) == []
    (event,) = real.tick(T0 + 10 * SECOND, T0 + 10 * SECOND)
    assert (event.state, event.reason, event.onset) == ("active", "unshelved", T0 // 1_000_000)
    assert real.tick(T0 + 11 * SECOND, T0 + 11 * SECOND) == []


def test_a_restart_does_not_shelve_anew() -> None:
    """Neither while the span lasts nor after it."""
    policy = {"alarms": [{"hi": 4, "shelved_for": "10s"}]}
    before = one(policy)
    before.push(block_of([Sample(0, T0, 5.0, GOOD)]), T0)
    for second, until in ((5, T0 + 10 * SECOND), (11, 0)):
        now = T0 + second * SECOND
        before.tick(now, now)
        after = Alarms(before.conditions.table, [TagPolicy(**policy)], now)
        after.restore(before.kept())
        assert after.shelved_until.tolist() == [until]
        assert len(after.announced(now)) == (until == 0)


def test_an_alarm_out_of_service_is_not_evaluated() -> None:
    assert push(one({"alarms": [{"hi": 4, "out_of_service": True}]}), 5.0) == []


def test_a_stop_between_raising_and_the_delay_begins_it_anew() -> None:
    """After a step of the clock nobody knows how long the value was beyond its limit."""
    real = one({"hi": 4, "on_delay": "5s"})
    push(real, 5.0)
    real.machine.restart_delays(T0 + 3600 * SECOND)
    assert real.next_due_ns() == T0 + 3605 * SECOND
    assert real.tick(T0 + 3604 * SECOND, T0 + 3604 * SECOND) == []
    assert [e.time_ns for e in real.tick(T0 + 3605 * SECOND, T0 + 3605 * SECOND)] == [T0 + 3605 * SECOND]


def test_a_hundred_thousand_tags() -> None:
    tags = 100_000
    table = TagTable(("press",), tuple(Tag(i, 0, f"t{i}") for i in range(tags)))
    real = Alarms(table, [TagPolicy(hi=4, hihi=8, hysteresis=0)] * tags, T0)
    values = np.zeros(tags)
    values[::1000] = 9.0
    block = block_of([])
    block = type(block)(np.arange(tags, dtype=np.uint32), np.full(tags, T0), values, np.full(tags, GOOD, np.uint8))
    assert len(real.push(block, T0)) == 200
    assert len(real.announced(T0)) == 200
