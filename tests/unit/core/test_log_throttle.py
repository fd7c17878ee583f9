"""A text is logged when it is new, and again after a while."""

import math

from gateway.core.log_throttle import REMIND_S, LogThrottle
from tests.support.clock import ManualClock


def test_the_same_text_is_due_again_after_five_minutes():
    clock = ManualClock()
    throttle = LogThrottle(clock)
    assert [throttle.is_due("a"), throttle.is_due("a"), throttle.is_due("b"), throttle.is_due("a")] == [
        True,
        False,
        True,
        True,
    ]
    clock.set_forward(REMIND_S)
    assert throttle.is_due("a")


def test_each_key_has_a_text_of_its_own_and_may_be_forgotten():
    throttle = LogThrottle(ManualClock(), math.inf)
    assert throttle.is_due("a", 1)
    assert throttle.is_due("a", 2)
    assert not throttle.is_due("a", 1)
    throttle.forget(1)
    assert throttle.is_due("a", 1)


def test_keys_without_end_do_not_fill_memory():
    throttle = LogThrottle(ManualClock(), math.inf)
    for key in range(20_001):
        throttle.is_due("a", key)
    assert len(throttle._last) <= 10_000
    assert not throttle.is_due("a", 20_000)


def test_what_was_left_out_is_counted_in_the_line_that_comes_next():
    clock = ManualClock()
    throttle = LogThrottle(clock)
    assert throttle.is_due("a")
    assert throttle.repeats == {}
    for _ in range(7):
        throttle.is_due("a")
    clock.set_forward(REMIND_S)
    assert throttle.is_due("a")
    assert throttle.repeats == {"repeated": 7}
    assert throttle.is_due("b")
    assert throttle.repeats == {}
