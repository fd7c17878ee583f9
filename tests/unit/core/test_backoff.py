"""Reconnect delays."""

from itertools import islice

from gateway.core.backoff import full_jitter


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
