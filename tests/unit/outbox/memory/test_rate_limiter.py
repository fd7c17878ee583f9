"""The rate of backlog, the commit before the send, and what SQLite is asked to do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.outbox.memory.rate_limiter import BURST_S, RateLimiter


def test_no_limit_never_waits():
    pace = RateLimiter(0, 0, 0.0)
    for _ in range(10_000):
        pace.spend(10**6)
    assert pace.delay_s == 0


@given(
    messages=st.integers(1, 500),
    size=st.integers(0, 100_000),
    steps=st.lists(st.tuples(st.floats(0, 3), st.integers(0, 5000)), max_size=30),
)
def test_never_more_than_the_rate_and_one_burst(messages, size, steps):
    """Over any time: rate x (time + burst), and in bytes one message more."""
    pace, now, sent, sent_bytes, largest = RateLimiter(messages, size, 0.0), 0.0, 0, 0, 0
    for passed, bytes_each in steps:
        now += passed
        pace.refill(now)
        for _ in range(2 * messages):
            if pace.delay_s:
                break
            pace.spend(bytes_each)
            sent, sent_bytes, largest = sent + 1, sent_bytes + bytes_each, max(largest, bytes_each)
        assert sent <= messages * (now + BURST_S) + 0.001
        assert not size or sent_bytes <= size * (now + BURST_S) + largest + 0.001


@pytest.mark.parametrize(("rates", "size"), [((10, 0), 1), ((0, 1000), 500), ((10, 1000), 3000)])
def test_after_its_delay_the_next_message_may_go(rates, size):
    pace = RateLimiter(*rates, 0.0)
    while not pace.delay_s:
        pace.spend(size)
    pace.refill(delay := pace.delay_s)
    assert delay > 0
    assert pace.delay_s == 0
