"""Reconnect delays."""

from collections import Counter
from itertools import islice

from gateway.core.backoff import full_jitter, start_delay_s


def test_the_span_doubles_up_to_its_limit() -> None:
    """The longest delays: 1, 2, 4 ... 60, 60 for ever."""
    longest = list(islice(full_jitter(1, 60, uniform=lambda low, high: high), 9))
    assert longest == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_no_delay_is_next_to_nothing() -> None:
    """A refused connection is never retried in a tight loop: a tenth of the span at least."""
    assert list(islice(full_jitter(1, 60, uniform=lambda low, high: low), 4)) == [0.1, 0.2, 0.4, 0.8]


def test_delays_are_spread_over_the_span() -> None:
    """A hundred gateways do not come back in one moment."""
    firsts = [next(full_jitter(10, 60)) for _ in range(200)]
    assert all(1 <= delay <= 10 for delay in firsts)
    assert min(firsts) < 3
    assert max(firsts) > 8


def test_the_first_attempt_waits_only_when_the_machine_has_just_started() -> None:
    assert start_delay_s(20, 10, lambda low, high: high) == 10
    assert start_delay_s(299, 10, lambda low, high: low) == 0
    assert start_delay_s(301, 10, lambda low, high: high) == 0


def test_a_thousand_gateways_that_start_together_come_apart() -> None:
    """Not more than a fifth of them within any second of ten."""
    seconds = Counter(int(start_delay_s(30, 10)) for _ in range(1000))
    assert len(seconds) == 10
    assert max(seconds.values()) < 200
