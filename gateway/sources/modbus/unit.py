"""What is known of one unit: its requests, which of them fail, whether it answers at all. Pure state, no I/O."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, StrEnum, auto

import numpy as np

from gateway.core.backoff import full_jitter
from gateway.core.blocks import TagIds
from gateway.core.messages import DeviceState
from gateway.core.plural import counted
from gateway.core.ports.plugin import DeviceEntry
from gateway.core.quality import Quality
from gateway.sources.modbus.config import ModbusDevice
from gateway.sources.modbus.counters import Counters
from gateway.sources.modbus.decode import Decoder
from gateway.sources.modbus.plan import Limits, Request, cover, limits_of, plan_device, split

_NAMES_SHOWN = 5
_SPREAD_NS = 1_000_000_000
_MOST_PLANS = 2
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


class Breaker(StrEnum):
    """Whether requests are sent to a unit, as published in its counters."""

    CLOSED = "closed"
    """It answers."""
    OPEN = "open"
    """It does not answer and is left alone."""
    HALF_OPEN = "half_open"
    """It does not answer, and one request asks whether it is back."""


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
    def is_replaced(self) -> bool:
        """Return whether other requests have taken its place."""
        return self.state is PollState.REPLACED

    def record_success(self) -> bool:
        """Record that it was answered with values. Returns whether that is news: it was untried, or known to fail."""
        self.failures = self.busy = self.hang_ups = 0
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


class Unit:
    """One configured device: a unit id on a connection.

    Attributes:
        polls: Its requests as they stand now.
        breaker: Whether requests are sent to it.
        down_reason: Why it counts as gone, empty while it answers.
        is_silent: While it is down: there was no reply at all, not even of a gateway before it.
        has_answered: It has answered on this connection.
        timeouts: Unanswered requests in a row.
        probing: The one request that is sent while it is down.
        has_news: Faults came or went since `next_state`.
        phase: Where in the first second its turns begin, 0 to 1.
        remark: What is wrong with its line though it answers, for people; empty while nothing is.
    """

    def __init__(self, entry: DeviceEntry, phase: float = 0.0) -> None:
        """Plan the requests of a device. entry: a `ModbusDevice` and its `ModbusTag`s."""
        self.config: ModbusDevice = entry.config
        self.phase = phase
        self.remark = ""
        self.counters = Counters()
        self.device = entry.number
        self.timeout_s = self.config.timeout / 1e9
        self._tags = entry.tags
        self._first_tag = entry.first_tag
        self.polls = [self._poll(request, request, interval) for interval, request in plan_device(self.config, entry.tags)]
        self._plans: dict[Request, int] = {}
        self.on_connected()

    def on_connected(self) -> None:
        """Begin on a new connection.

        What failed keeps its requests apart and is sent at once, unless connections end at it.
        """
        self.timeouts = 0
        self.has_answered = False
        self.breaker = Breaker.CLOSED
        self.down_reason = ""
        self.is_silent = False
        self.has_news = False
        self.probing: Poll | None = None
        self.probe_delays = full_jitter()
        self._turn = 0
        self._reported: DeviceState | None = None
        for poll in self.polls:
            poll.failures, poll.busy = 0, 0
            poll.forget_report()
            if not poll.hang_ups:
                poll.retry_ns = 0

    @property
    def is_down(self) -> bool:
        """Return whether it counts as gone."""
        return self.breaker is not Breaker.CLOSED

    def _poll(self, request: Request, origin: Request, interval_ns: int) -> Poll:
        tags = np.array(request.rows, np.uint32) + np.uint32(self._first_tag)
        return Poll(self, request, origin, interval_ns, tags, Decoder(request, self._tags, self.config.byte_order))

    def split(self, poll: Poll) -> list[Poll]:
        """Replace a request by its halves, which are untried. Returns the halves."""
        halves = [self._poll(half, poll.origin, poll.interval_ns) for half in split(poll.request)]
        for half in halves:
            half.state, half.failures, half.hang_ups = PollState.UNTRIED, poll.failures, poll.hang_ups
        self._replace([poll], halves)
        return halves

    def join(self, poll: Poll) -> tuple[list[Poll], Poll] | None:
        """Replace the parts of a planned request by the whole when every one of them fails.

        Returns the parts and the whole, which counts as failing too; None when some part works. A controller that is
        stopped refuses everything for a while; afterwards it is read in few requests again.
        """
        parts = [part for part in self.polls if part.origin is poll.origin]
        if len(parts) == 1 or any(part.fault is None for part in parts):
            return None
        whole = self._poll(poll.origin, poll.origin, poll.interval_ns)
        whole.fault, whole.retry_ns, whole.refusals = poll.fault, poll.retry_ns, poll.refusals
        whole.state = PollState.FAILING
        self._replace(parts, [whole])
        return parts, whole

    def record_recovery(self, poll: Poll) -> None:
        """Record that a request that was known to fail works: new plans for its parts are allowed again."""
        self.has_news = True
        self._plans[poll.origin] = 0

    def regroup(self, poll: Poll) -> tuple[list[Poll], list[Poll]] | None:
        """Put fewer requests in the place of the parts of a refused request that work, once all parts were tried.

        Returns the parts that work and their new requests; None when nothing is gained. The new ones leave out the refused
        tags. When none was refused alone it was a gap: then, and when a first new plan was refused as well, they read over
        no gap. A third is not tried until a tag works again.
        """
        parts = [part for part in self.polls if part.origin is poll.origin]
        tried = self._plans.get(poll.origin, -1)
        if len(parts) == 1 or tried >= _MOST_PLANS or any(part.state is PollState.UNTRIED for part in parts):
            return None
        good = [part for part in parts if part.fault is None]
        bad = [span for part in parts if part.fault for span in part.request.spans]
        table, limits = poll.request.table, limits_of(self.config, poll.request.table)
        gapless = tried > 0 or (tried < 0 and not bad)
        holes = limits.forbidden + tuple((span.start, span.end - 1) for span in bad)
        limits = Limits(limits.max_count, 0 if gapless else limits.max_gap, holes)
        requests = cover(table, [span for part in good for span in part.request.spans], limits)
        self._plans[poll.origin] = max(tried, 0) + 1
        if len(requests) >= len(good):
            return None
        new = [self._poll(request, poll.origin, poll.interval_ns) for request in requests]
        self._replace(good, new)
        return good, new

    def _replace(self, old: list[Poll], new: list[Poll]) -> None:
        for poll in old:
            poll.state = PollState.REPLACED
        self.polls = [poll for poll in self.polls if poll not in old] + new

    def probe(self) -> Poll:
        """Return the request to send next while the unit is down: each in turn, those without a fault of their own first."""
        candidates = [poll for poll in self.polls if poll.fault is None] or self.polls
        self._turn += 1
        self.probing = candidates[self._turn % len(candidates)]
        return self.probing

    def stats(self) -> dict[str, float | str]:
        """Return its counters, the state of its breaker and the number of its requests."""
        return self.counters.stats() | {"breaker": self.breaker.value, "requests_planned": len(self.polls)}

    @property
    def is_unknown(self) -> bool:
        """Return whether nothing better than `down` has been reported of it on this connection."""
        return self._reported is None or self._reported.state == "down"

    def next_state(self, *, is_answered: bool) -> DeviceState | None:
        """Return the unit's state when it is other than the last one reported, and count it as reported.

        While requests are being split, news waits for the result, unless values have just come for the first time
        (is_answered).
        """
        is_first = is_answered and self.is_unknown
        is_final = self.has_news and not any(poll.state is PollState.UNTRIED for poll in self.polls)
        if not (is_first or is_final or self.down_reason):
            return None
        self.has_news = False
        state = self._state()
        if state == self._reported:
            return None
        self._reported = state
        return state

    def _state(self) -> DeviceState:
        if self.is_down:
            return DeviceState(self.device, "down", self.down_reason)
        failing = sorted((row, poll.fault.reason) for poll in self.polls if poll.fault for row in poll.request.rows)
        if not failing:
            return DeviceState(self.device, "degraded" if self.remark else "ok", self.remark)
        named = [f"{self._tags[row].name} ({reason})" for row, reason in failing[:_NAMES_SHOWN]]
        more = f" and {len(failing) - _NAMES_SHOWN} more" if len(failing) > _NAMES_SHOWN else ""
        remark = f"{self.remark}; " if self.remark else ""
        reason = f"{remark}{len(failing)} of {counted(len(self._tags), 'tag')} cannot be read: {', '.join(named)}{more}"
        return DeviceState(self.device, "degraded", reason)
