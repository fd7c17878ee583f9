"""Reconnect delays."""

import random
from collections.abc import Callable, Iterator
from typing import Final

_POWER_CUT_S: Final = 300.0


def full_jitter(
    first_s: float = 1.0, most_s: float = 60.0, uniform: Callable[[float, float], float] = random.uniform
) -> Iterator[float]:
    """Yield delays for ever: each drawn evenly from a span whose end doubles from `first_s` up to `most_s`.

    The span starts at a tenth of its end, so that a refused connection is never retried in a tight loop.
    After "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015), full jitter.
    """
    end = first_s
    while True:
        yield uniform(end / 10, end)
        end = min(most_s, end * 2)


def start_delay_s(up_s: float, most_s: float, uniform: Callable[[float, float], float] = random.uniform) -> float:
    """Return how long the first attempt has to wait, seconds: a random part of `most_s`, or 0.

    After a power cut many gateways start together, so they wait while the machine has been up for less than five minutes; a
    restart of the service alone does not. up_s: seconds since the machine started, which on Linux is what monotonic clocks
    count.
    """
    return uniform(0.0, most_s) if up_s < _POWER_CUT_S else 0.0
