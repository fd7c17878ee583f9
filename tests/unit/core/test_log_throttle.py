"""A text is logged when it is new, and again after a while."""

import math

from gateway.core.log_throttle import REMIND_S, LogThrottle
from tests.support.clock import FakeClock


def test_the_same_text_is_due_again_after_five_minutes():
    clock = FakeClock()
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
    throttle = LogThrottle(FakeClock(), math.inf)
    assert throttle.is_due("a", 1)
    assert throttle.is_due("a", 2)
    assert not throttle.is_due("a", 1)
    throttle.forget(1)
    assert throttle.is_due("a", 1)


def test_keys_without_end_do_not_fill_memory():
    throttle = LogThrottle(FakeClock(), math.inf)
    for key in range(20_001):
        throttle.is_due("a", key)
    assert len(throttle._last) <= 10_000
    assert not throttle.is_due("a", 20_000)
