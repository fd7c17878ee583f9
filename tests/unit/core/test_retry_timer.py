"""Delays that double: by themselves, and by key with the time at which they run out."""

import pytest

from gateway.core.retry_timer import DoublingDelay, RetryTimers


def test_a_delay_doubles_up_to_its_ceiling_and_starts_again_after_a_reset():
    delay = DoublingDelay(1.0, 5.0)
    assert [delay.next_s() for _ in range(5)] == [1.0, 2.0, 4.0, 5.0, 5.0]
    delay.reset()
    assert delay.current_s == 1.0


def test_a_ceiling_below_the_first_delay_counts_as_the_first_delay():
    delay = DoublingDelay(10.0, 3.0)
    assert [delay.next_s(), delay.next_s()] == [10.0, 10.0]


def test_each_key_has_a_delay_of_its_own():
    timers: RetryTimers[str] = RetryTimers(30.0, 120.0)
    assert [timers.failed("a", 0.0), timers.failed("a", 30.0), timers.failed("b", 30.0)] == [30.0, 60.0, 30.0]
    assert timers.due(60.0) == ["b"]
    assert timers.due(90.0) == ["a", "b"]
    assert timers.wait_s("a", 70.0) == pytest.approx(20.0)


def test_what_works_again_begins_with_the_first_delay():
    timers: RetryTimers[int] = RetryTimers(1.0, 60.0)
    timers.failed(7, 0.0)
    timers.failed(7, 1.0)
    timers.clear([7, 8])
    assert 7 not in timers
    assert timers.wait_s(7, 2.0) == 0.0
    assert timers.failed(7, 2.0) == 1.0


def test_hurried_keys_are_due_at_once_and_begin_again():
    timers: RetryTimers[int] = RetryTimers(1.0, 60.0)
    for _ in range(4):
        timers.failed(1, 0.0)
    timers.failed(2, 0.0)
    timers.hurry(0.5, [1])
    assert timers.due(0.5) == [1]
    assert timers.failed(1, 0.5) == 1.0
    timers.hurry(0.6)
    assert sorted(timers.due(0.6)) == [1, 2]


def test_hurried_keys_may_keep_their_delay():
    timers: RetryTimers[int] = RetryTimers(1.0, 60.0)
    timers.failed(1, 0.0)
    timers.hurry(0.5, keeps_delay=True)
    assert timers.due(0.5) == [1]
    assert timers.failed(1, 0.5) == 2.0
