"""Work that took its time, for whoever follows it: connects, slow polls and deliveries. Costs nothing while nobody does."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from gateway.core.errors import GatewayError


@dataclass(frozen=True, slots=True)
class Span:
    """One piece of work that has ended."""

    name: str
    """What was done: `connect`, `poll`, `deliver`."""
    took_s: float
    """How long it took, seconds; it ends when it is reported."""
    attributes: Mapping[str, str] = field(default_factory=dict)
    """What it was about."""
    error: str = ""
    """Why it has failed, empty where it has not."""


_take: Callable[[Span], None] | None = None
_slow_s = math.inf


def follow(take: Callable[[Span], None] | None, slow_s: float = math.inf) -> None:
    """Have spans handed to `take`, on the event loop; None for nobody. slow_s: from when polls and deliveries are slow."""
    global _take, _slow_s  # of the process, as logs are: parts need not carry it through
    _take, _slow_s = take, slow_s if take is not None else math.inf


def is_followed() -> bool:
    """Return whether anybody wants spans: for what has to be measured for them alone."""
    return _take is not None


def report(name: str, took_s: float, error: str = "", **attributes: str) -> None:
    """Report work that has ended now."""
    if _take is not None:
        _take(Span(name, took_s, attributes, error))


def report_slow(name: str, took_s: float, error: str = "", **attributes: str) -> None:
    """Report work that has ended now, if it was slow."""
    if took_s >= _slow_s:
        report(name, took_s, error, **attributes)


@contextmanager
def timed(name: str, **attributes: str) -> Iterator[None]:
    """Report the block when it ends, or fails with an error that is expected; cancelled, it is not reported."""
    began_s = time.monotonic()
    try:
        yield
    except GatewayError as error:
        report(name, time.monotonic() - began_s, str(error), **attributes)
        raise
    report(name, time.monotonic() - began_s, "", **attributes)
