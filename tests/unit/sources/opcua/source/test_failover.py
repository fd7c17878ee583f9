"""When a server is left for another one."""

from itertools import count, pairwise

import pytest

from gateway.sources.opcua.port.session import ServerHealth
from gateway.sources.opcua.source.failover import Failover, class_of
from gateway.sources.opcua.source.intervals import Intervals

INTERVALS = Intervals()
GOOD, FAIR, POOR, EMPTY, RESTING = (ServerHealth(0, level) for level in (255, 210, 100, 1, 0))
STOPPED = ServerHealth(2, 255)


@pytest.mark.parametrize(
    ("standing", "number"),
    [(STOPPED, 0), (RESTING, 0), (EMPTY, 1), (POOR, 2), (ServerHealth(0, 199), 2), (FAIR, 3), (GOOD, 3)],
)
def test_levels_make_four_classes(standing, number):
    assert class_of(standing) == number


@pytest.fixture
def failover():
    made = Failover(INTERVALS)
    made.on_connected(0.0, is_first=True)
    return made


def test_a_healthy_first_server_is_never_a_reason_to_ask(failover):
    assert not any(failover.wants_to_ask(FAIR, float(t)) for t in range(0, 1000, 10))


@pytest.mark.parametrize(("here", "other"), [(POOR, GOOD), (EMPTY, POOR), (RESTING, EMPTY), (STOPPED, POOR)])
def test_a_better_class_is_taken_at_once(failover, here, other):
    assert failover.wants_to_ask(here, 10.0)
    assert failover.leaves(here, other, 10.0)


@pytest.mark.parametrize(("here", "other"), [(POOR, None), (POOR, POOR), (POOR, EMPTY), (RESTING, STOPPED)])
def test_nothing_better_is_asked_for_again_every_half_minute_only(failover, here, other):
    asked = []
    for t in range(10, 200, 10):
        if failover.wants_to_ask(here, float(t)):
            asked.append(t)
            assert not failover.leaves(here, other, float(t))
    assert asked == [10, 40, 70, 100, 130, 160, 190]


def test_a_little_better_has_to_last_a_minute(failover):
    a_little = ServerHealth(0, POOR.level + 1)
    assert not failover.leaves(POOR, a_little, 10.0)
    assert not failover.leaves(POOR, POOR, 40.0)
    assert not failover.leaves(POOR, a_little, 70.0)
    assert failover.leaves(POOR, a_little, 70.0 + INTERVALS.failback_s)


def changes(levels, until_s):
    """When a device changes servers; levels: of both servers by time, as functions."""
    failover, place, moved = Failover(INTERVALS), 0, []
    failover.on_connected(0.0, is_first=True)
    for t in map(float, count(0, 10)):
        if t > until_s:
            return moved
        here, other = levels[place](t), levels[1 - place](t)
        if failover.wants_to_ask(here, t):
            judge = failover.returns if here.is_healthy else failover.leaves
            if judge(here, other, t):
                place = 1 - place
                moved.append(t)
                failover.on_connected(t, is_first=place == 0)
    return moved


def test_a_first_server_that_does_not_last_is_taken_back_ever_later():
    times = changes([lambda t: GOOD if t % 300 < 200 else POOR, lambda t: GOOD], 6 * 3600)
    waits = [back - away for away, back in zip(times[::2], times[1::2], strict=False)]
    assert waits == sorted(waits)
    assert len(waits) <= 3, "five minutes are never as long as half an hour"


def test_a_first_server_that_lasted_is_taken_back_after_a_minute_again():
    def first(t):
        return POOR if any(begin <= t < begin + 100 for begin in (1000, 3000, 5000)) else GOOD

    times = changes([first, lambda t: GOOD], 7000)
    assert len(times) == 6
    assert all(
        INTERVALS.failback_s <= back - away <= 3 * INTERVALS.failback_s + 30
        for away, back in zip(times[::2], times[1::2], strict=True)
    )
    assert times[2] - times[1] > INTERVALS.steady_s


def test_two_servers_that_degrade_in_turn_do_not_make_it_flap():
    times = changes([lambda t: GOOD if t % 40 < 20 else POOR, lambda t: POOR if t % 40 < 20 else GOOD], 3600)
    assert times
    assert all(b - a >= INTERVALS.failover_hold_s for a, b in pairwise(times))


def test_a_server_without_data_is_left_even_right_after_a_change(failover):
    assert failover.leaves(POOR, GOOD, 10.0)
    failover.on_connected(10.0, is_first=False)
    assert not failover.leaves(POOR, GOOD, 12.0)
    assert failover.leaves(EMPTY, GOOD, 14.0)
