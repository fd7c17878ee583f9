"""Reconnect delays."""

import random
from collections.abc import Callable, Iterator


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
