"""One request of one unit, and what is known of it. Pure state, no I/O."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING

from gateway.core.backoff import full_jitter
from gateway.core.blocks import TagIds
from gateway.core.quality import Quality
from gateway.sources.modbus.decode import Decoder
from gateway.sources.modbus.plan import Request

if TYPE_CHECKING:
    from gateway.sources.modbus.unit import Unit

_SPREAD_NS = 1_000_000_000
_REFUSED_FIRST_S, _REFUSED_MOST_S = 60.0, 1800.0


def _refusals() -> Iterator[float]:
    """Yield the pauses before a refused address is sent again: about a minute at first, up to half an hour."""
    return full_jitter(_REFUSED_FIRST_S, _REFUSED_MOST_S, lambda _, end: random.uniform(end / 2, end))


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a request is not sent at every turn."""

    quality: Quality
    """Of its samples meanwhile."""
    reason: str
    """For people."""


class PollState(Enum):
    """What is known of a request."""

    NORMAL = auto()
    """It is sent at every turn."""
    UNTRIED = auto()
    """It is a part of a failed request, and has not been sent itself."""
    FAILING = auto()
    """It is known to fail; its tags have no bad sample for that yet."""
    REPORTED = auto()
    """It is known to fail, and its tags were reported bad: turns without a request give no further samples."""
    REPLACED = auto()
    """Other requests have taken its place; what is still under way for it ends there."""


@dataclass(slots=True, eq=False)
class Poll:
    """One request of one unit, read at a fixed interval; its turns are kept by the `Schedule`."""

    unit: "Unit"
    request: Request
    origin: Request
    """The planned request that it is, or is a part of."""
    interval_ns: int
    tags: TagIds
    decode: Decoder
    state: PollState = PollState.NORMAL
    failures: int = 0
    """Turns that failed in a row."""
    busy: int = 0
    """Times that its unit was busy in this turn."""
    examine_ns: int = 0
    """When its reply is looked at for a wrong byte order again, monotonic."""
    advised: bool = False
    """Its last reply looked like a wrong byte order."""
    has_answered: bool = False
    """It was answered with values on this connection."""
    silent_at: int = 0
    """How many replies its unit had given when it was not answered last."""
    hang_ups: int = 0
    """Times that the connection ended at it, no values in between."""
    fault: Fault | None = None
    """Set while it is known to fail."""
    retry_ns: int = 0
    """When it is sent again while it is known to fail, monotonic."""
    retries: Iterator[float] = field(default_factory=full_jitter)
    refusals: Iterator[float] = field(default_factory=_refusals)
    numeric_tags: TagIds = field(init=False)
    phase_ns: int = field(init=False)
    due_ns: int = 0
    cycle: int = 0

    def __post_init__(self) -> None:
        self.numeric_tags = self.tags[self.decode.numeric]
        self.phase_ns = int(min(self.interval_ns, _SPREAD_NS) * self.unit.phase)

    @property
    def place(self) -> str:
        """Return what it reads, for people."""
        start, end = self.request.start, self.request.start + self.request.count - 1
        return f"{self.request.table}:{start}" + (f"..{end}" if end > start else "")

    @property
    def is_silent_alone(self) -> bool:
        """Return whether it was not answered again, although its unit answered meanwhile."""
        return self.failures > 0 and self.unit.replies > self.silent_at

    @property
    def is_replaced(self) -> bool:
        """Return whether other requests have taken its place."""
        return self.state is PollState.REPLACED

    def record_success(self) -> bool:
        """Record that it was answered with values. Returns whether that is news: it was untried, or known to fail."""
        self.failures = self.busy = self.hang_ups = 0
        self.has_answered = True
        state = self.state
        if state is PollState.NORMAL:  # at every turn: nothing else may cost time here
            return False
        is_news = state is PollState.UNTRIED or self.fault is not None
        if state is not PollState.REPLACED:
            self.state = PollState.NORMAL
        if self.fault is not None:
            self.fault, self.retries, self.refusals = None, full_jitter(), _refusals()
            self.unit.record_recovery(self)
        return is_news

    def record_bad_samples(self) -> None:
        """Record that its tags were reported bad."""
        if not self.is_replaced:
            self.state = PollState.NORMAL if self.fault is None else PollState.REPORTED

    def fail(self, fault: Fault, retry_ns: int) -> None:
        """Let it count as failing, and be sent again from `retry_ns` on."""
        self.fault, self.retry_ns = fault, retry_ns
        if self.state not in (PollState.REPORTED, PollState.REPLACED):
            self.state = PollState.FAILING
        self.unit.has_news = True

    def forget_report(self) -> None:
        """Let its tags be reported bad once more if it fails."""
        if self.state is PollState.REPORTED:
            self.state = PollState.FAILING
