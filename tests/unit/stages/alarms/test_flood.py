"""Many alarms at once: what is published, what is counted, what is said again."""

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.events.process import AlarmFlood, LimitAlarm
from gateway.core.tag_move import TagMove
from gateway.core.tags import Tag, TagTable
from gateway.stages.alarms.alarms import AlarmEvent, Alarms
from gateway.stages.alarms.flood_config import AlarmsConfig
from gateway.stages.config import TagPolicy
from tests.support.blocks import GOOD, SECOND, T0, block_of
from tests.support.oracle import Sample

MINUTE = 60 * SECOND
M0 = T0 - T0 % (10 * MINUTE)


def table(tags: int, devices: int = 1) -> TagTable:
    names = tuple(f"d{i}" for i in range(devices))
    return TagTable(names, tuple(Tag(i, i * devices // tags, f"t{i}") for i in range(tags)))


def alarms(tags: int = 1, *, devices: int = 1, policy: dict[str, Any] | None = None, **config: Any) -> Alarms:
    own = TagPolicy(**(policy or {"hi": 1, "hysteresis": 0}))
    return Alarms(table(tags, devices), [own] * tags, M0, AlarmsConfig(**config))


def push(real: Alarms, second: float, *values: tuple[int, float]) -> list[AlarmEvent]:
    now = M0 + round(second * SECOND)
    return real.push(block_of([Sample(tag, now, value, GOOD) for tag, value in values]), now)


def tick(real: Alarms, second: float) -> list[AlarmEvent]:
    now = M0 + round(second * SECOND)
    return real.tick(now, now)


def said(events: list[AlarmEvent]) -> list[tuple[int | None, str, str | None]]:
    return [(e.tag, e.state, e.reason) for e in events if isinstance(e, LimitAlarm)]


def test_a_flood_is_one_event_with_counts_and_every_alarm_is_said_in_the_end() -> None:
    real = alarms(50, most=10)
    first = push(real, 0, *((tag, 5.0) for tag in range(50)))
    assert [event.tag for event in first] == list(range(10))
    assert push(real, 1, *((tag, 0.0) for tag in range(40, 50))) == []
    later = tick(real, 60)
    (flood,) = [event for event in later if isinstance(event, AlarmFlood)]
    assert (flood.raised, flood.cleared, flood.conditions) == (40, 10, 40)
    assert (flood.start, flood.end) == (M0 // 1_000_000, (M0 + SECOND) // 1_000_000)
    assert said(later) == [(tag, "active", "held") for tag in range(10, 20)]
    rest = [one for minute in range(2, 6) for one in said(tick(real, 60 * minute))]
    assert rest == [(tag, "active", "held") for tag in range(20, 40)]
    assert real.flood.suppressed == 50


def test_urgent_alarms_have_room_of_their_own() -> None:
    policies = [TagPolicy(hi=1, hysteresis=0)] * 20 + [TagPolicy(hihi=1, hysteresis=0)] * 20
    real = Alarms(table(40), policies, M0, AlarmsConfig(most=10))
    assert [event.tag for event in push(real, 0, *((tag, 5.0) for tag in range(20)))] == list(range(10))
    assert [event.tag for event in push(real, 1, *((tag, 5.0) for tag in range(20, 40)))] == list(range(20, 30))


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans(), st.integers(0, 90)), max_size=80), st.booleans())
def test_no_change_is_lost_from_the_count_and_the_list_is_right_in_the_end(
    steps: list[tuple[int, bool, int]], hold: bool
) -> None:
    """Whatever comes: changes equal those published and those counted; whoever follows the events has the active alarms."""
    real, free = alarms(6, most=10, hold_chattering=hold), alarms(6, most=100_000, hold_chattering=False)
    second, events, changes = 0, list[AlarmEvent](), 0
    for tag, is_high, pause in steps:
        second += pause
        events += push(real, second, (tag, 5.0 if is_high else 0.0))
        changes += len(push(free, second, (tag, 5.0 if is_high else 0.0)))
        events += tick(real, second)
    for minute in range(1, 5):
        events += tick(real, second + 61 * minute)
    floods = [event for event in events if isinstance(event, AlarmFlood)]
    published = [one for one in events if isinstance(one, LimitAlarm) and one.reason is None]
    assert changes == len(published) + sum(one.raised + one.cleared for one in floods)
    known = set()
    for one in (event for event in events if isinstance(event, LimitAlarm)):
        (known.add if one.state == "active" else known.discard)(one.tag)
    assert known == set(np.flatnonzero(free.active).tolist())


def test_a_chattering_alarm_is_active_until_it_is_calm() -> None:
    real = alarms()
    events = [one for at in range(20) for one in push(real, at, (0, 5.0 if at % 2 == 0 else 0.0))]
    assert said(events) == [(0, "active", None), (0, "cleared", None)] * 2 + [(0, "active", None)]
    (flood,) = tick(real, 78)
    assert isinstance(flood, AlarmFlood)
    assert (flood.raised, flood.cleared, flood.top) == (7, 8, ["d0/t0 hi: 15"])
    (cleared,) = tick(real, 80)
    assert said([cleared]) == [(0, "cleared", "held")]
    assert real.figures(M0 + 80 * SECOND)["alarms_chattering"] == 1


def test_alarms_that_follow_each_other_name_the_first_of_their_device() -> None:
    real = alarms(4, devices=2, group="1min")
    events = push(real, 0, (1, 5.0)) + push(real, 1, (0, 5.0), (2, 5.0)) + push(real, 90, (3, 5.0))
    assert [(e.tag, e.first_out) for e in events if isinstance(e, LimitAlarm)] == [
        (1, "t1 hi"), (0, "t1 hi"), (2, "t2 hi"), (3, "t3 hi"),
    ]  # fmt: skip


def test_active_alarms_are_said_again_when_somebody_may_be_new() -> None:
    real = alarms(2)
    push(real, 0, (0, 5.0))
    real.refresh()
    assert [(e.tag, e.state, e.refresh) for e in tick(real, 1) if isinstance(e, LimitAlarm)] == [(0, "active", True)]
    real.refresh()
    assert tick(real, 30) == []
    assert len(tick(real, 61)) == 1


def test_an_alarm_that_lasts_is_said_again() -> None:
    real = alarms(re_alarm="10min")
    push(real, 0, (0, 5.0))
    assert [said(tick(real, second)) for second in (599, 600, 601)] == [[], [(0, "active", "re_alarm")], []]


def test_the_figures_of_isa_18_2() -> None:
    real = alarms(12)
    for tag in range(12):
        push(real, tag, (tag, 5.0))
    push(real, 15, (11, 0.0))
    push(real, 1200, (11, 5.0))
    figures = real.figures(M0 + 1200 * SECOND)
    assert {key: value for key, value in figures.items() if key != "alarms_top"} == {
        "alarms_active": 12, "alarms_raised": 13, "alarms_hour": 13, "alarms_10min": 1, "alarms_flood_percent": 33.3,
        "alarms_chattering": 0, "alarms_fleeting": 1, "alarms_stale": 0, "alarms_suppressed": 0,
    }  # fmt: skip
    assert str(figures["alarms_top"]).startswith("d0/t11 hi 2, d0/t0 hi 1, ")
    assert real.figures(M0 + 90_000 * SECOND)["alarms_stale"] == 12
    assert real.figures(M0 + 90_000 * SECOND)["alarms_hour"] == 0


def test_counts_and_what_is_held_go_on_with_another_table() -> None:
    before = alarms(20, most=10)
    push(before, 0, *((tag, 5.0) for tag in range(20)))
    after = alarms(20, most=10)
    move = TagMove.between(before.conditions.table, after.conditions.table, {"d0"})
    (flood,) = before.ended(after, move, M0 + SECOND)
    assert isinstance(flood, AlarmFlood)
    after.take_over(before, move)
    assert [tag for tag, *_ in said(tick(after, 61))] == list(range(10, 20))
    assert after.figures(M0 + MINUTE)["alarms_raised"] == 20
