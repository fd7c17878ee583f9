"""What a server revised of what it was asked for."""

import math

from gateway.sources.opcua.port.granted import Granted


def test_what_is_granted_as_asked_is_no_difference():
    granted = Granted()
    granted.session(60_000, 60_000.0)
    granted.subscription(250, 250.0)
    granted.item(250, 250.0, 10, 10)
    assert granted.differences() == {}
    assert (granted.session_timeout_ms, granted.publishing_ms, granted.sampling_ms, granted.queue_size) == (
        60_000,
        250,
        250,
        10,
    )


def test_the_most_frequent_difference_of_each_kind_is_named_and_the_worst_figure_kept():
    granted = Granted()
    granted.session(60_000, 30_000)
    for sampling in (5000, 5000, 1000, 250):
        granted.item(250, sampling, 10, 1)
    assert granted.differences() == {
        "session_timeout": "60000 ms -> 30000 ms",
        "sampling": "250 ms -> 5000 ms (2 times)",
        "queue_size": "10 -> 1 (4 times)",
    }
    assert (granted.sampling_ms, granted.queue_size) == (5000, 1)


def test_nonsense_is_no_figure():
    granted = Granted()
    granted.session(60_000, math.nan)
    granted.item(250, math.inf, 10, 10)
    assert (granted.session_timeout_ms, granted.sampling_ms, granted.differences()) == (0.0, 0.0, {})
