"""What is known of one unit: its requests, which of them fail, whether it answers at all. Pure state, no I/O."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

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
    """When a refused address is tried again: after about a minute, later and later up to half an hour."""
    return full_jitter(_REFUSED_FIRST_S, _REFUSED_MOST_S, lambda _, end: random.uniform(end / 2, end))


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a request is not sent at every turn: the quality of its samples meanwhile, and the reason for people."""

    quality: Quality
    reason: str


@dataclass(slots=True, eq=False)
class Poll:
    """One request of one unit, read at a fixed interval; its turns are kept by the `Schedule`.

    origin: the planned request that it is, or is a part of. failures: turns failed in a row. busy: times that its unit was
    busy in this turn. hang_ups: times that the connection ended at it, no values in between. fault: set while it is known to
    fail; it is tried again from retry_ns (monotonic) on. is_told: its tags were told to be bad since. suspect: part of a
    failed request, not served yet. retired: others have taken its place; what is still under way for it ends there.
    """

    unit: "Unit"
    request: Request
    origin: Request
    interval_ns: int
    tags: TagIds
    decode: Decoder
    suspect: bool = False
    retired: bool = False
    failures: int = 0
    busy: int = 0
    hang_ups: int = 0
    fault: Fault | None = None
    retry_ns: int = 0
    is_told: bool = False
    retries: Iterator[float] = field(default_factory=full_jitter)
    refusals: Iterator[float] = field(default_factory=_refusals)
    numeric_tags: TagIds = field(init=False)
    phase_ns: int = field(init=False)
    due_ns: int = 0
    cycle: int = 0

    def __post_init__(self) -> None:
        self.numeric_tags = self.tags[self.decode.numeric]
        self.phase_ns = int(min(self.interval_ns, _SPREAD_NS) * self.unit.phase)

    def succeeded(self) -> bool:
        """It was answered with values. True when that is news: it was suspect, or known to fail."""
        news = self.suspect or self.fault is not None
        self.failures, self.busy, self.hang_ups, self.suspect = 0, 0, 0, False
        if self.fault is not None:
            self.fault, self.retries, self.refusals = None, full_jitter(), _refusals()
            self.unit.recovered(self)
        return news

    def condemn(self, fault: Fault, retry_ns: int) -> None:
        """It fails, and will be tried again from `retry_ns` on."""
        self.fault, self.retry_ns, self.suspect = fault, retry_ns, False
        self.unit.changed = True


class Unit:
    """One configured device: a unit id on a connection.

    polls: its requests as they stand now. timeouts: unanswered requests in a row. heard: it has answered on this connection.
    down: why it counts as gone, empty while
    it answers. silent: gone without any reply, not even of a gateway before it. probing: the one request that is sent while
    it is down. asking: that one is under way. changed: faults came or went since `news`. phase: where in the first second
    its turns begin, 0 to 1.
    """

    def __init__(self, entry: DeviceEntry, phase: float = 0.0) -> None:
        """entry.config: a `ModbusDevice`; entry.tags: `ModbusTag`s."""
        self.config: ModbusDevice = entry.config
        self.phase = phase
        self.counters = Counters()
        self.device = entry.number
        self.timeout_s = self.config.timeout / 1e9
        self._tags = entry.tags
        self._first_tag = entry.first_tag
        self.polls = [self._poll(request, request, interval) for interval, request in plan_device(self.config, entry.tags)]
        self._regrouped: dict[Request, int] = {}
        self.reset()

    def reset(self) -> None:
        """A new connection: what failed keeps its requests apart and is tried at once, unless connections end at it."""
        self.timeouts = 0
        self.heard = False
        self.down = ""
        self.silent = False
        self.changed = False
        self.probing: Poll | None = None
        self.asking = False
        self.probe_delays = full_jitter()
        self._turn = 0
        self._told: DeviceState | None = None
        for poll in self.polls:
            poll.failures, poll.busy, poll.is_told = 0, 0, False
            if not poll.hang_ups:
                poll.retry_ns = 0

    def _poll(self, request: Request, origin: Request, interval_ns: int) -> Poll:
        tags = np.array(request.rows, np.uint32) + np.uint32(self._first_tag)
        return Poll(self, request, origin, interval_ns, tags, Decoder(request, self._tags, self.config.byte_order))

    def split(self, poll: Poll) -> list[Poll]:
        """Replace a request by its halves, which are suspect until they were tried."""
        halves = [self._poll(half, poll.origin, poll.interval_ns) for half in split(poll.request)]
        for half in halves:
            half.suspect, half.failures, half.hang_ups = True, poll.failures, poll.hang_ups
        self._replace([poll], halves)
        return halves

    def join(self, poll: Poll) -> tuple[list[Poll], Poll] | None:
        """When every part of a planned request fails: replace the parts (first result) by the whole (second), failing too.

        A controller that is stopped refuses everything for a while; afterwards it is read in few requests again.
        """
        parts = [part for part in self.polls if part.origin is poll.origin]
        if len(parts) == 1 or any(part.fault is None for part in parts):
            return None
        whole = self._poll(poll.origin, poll.origin, poll.interval_ns)
        whole.fault, whole.retry_ns, whole.refusals = poll.fault, poll.retry_ns, poll.refusals
        self._replace(parts, [whole])
        return parts, whole

    def recovered(self, poll: Poll) -> None:
        """A request that was known to fail works: what was learned from its failing no longer counts."""
        self.changed = True
        self._regrouped[poll.origin] = 0

    def regroup(self, poll: Poll) -> tuple[list[Poll], list[Poll]] | None:
        """Once all parts of a refused request were tried: the parts that work (first result), and fewer requests to put in
        their place (second). None when nothing is gained.

        The new ones leave out the refused tags. When none was refused alone it was a gap: then, and when a first new plan
        was refused as well, they read over no gap. A third is not tried until a tag works again.
        """
        parts = [part for part in self.polls if part.origin is poll.origin]
        tried = self._regrouped.get(poll.origin, -1)
        if len(parts) == 1 or tried >= _MOST_PLANS or any(part.suspect for part in parts):
            return None
        good = [part for part in parts if part.fault is None]
        bad = [span for part in parts if part.fault for span in part.request.spans]
        table, limits = poll.request.table, limits_of(self.config, poll.request.table)
        gapless = tried > 0 or (tried < 0 and not bad)
        holes = limits.forbidden + tuple((span.start, span.end - 1) for span in bad)
        limits = Limits(limits.max_count, 0 if gapless else limits.max_gap, holes)
        requests = cover(table, [span for part in good for span in part.request.spans], limits)
        self._regrouped[poll.origin] = max(tried, 0) + 1
        if len(requests) >= len(good):
            return None
        new = [self._poll(request, poll.origin, poll.interval_ns) for request in requests]
        self._replace(good, new)
        return good, new

    def _replace(self, old: list[Poll], new: list[Poll]) -> None:
        for poll in old:
            poll.retired = True
        self.polls = [poll for poll in self.polls if poll not in old] + new

    def probe(self) -> Poll:
        """The request to try next while the unit is down: each in turn, those without a fault of their own first."""
        candidates = [poll for poll in self.polls if poll.fault is None] or self.polls
        self._turn += 1
        self.probing = candidates[self._turn % len(candidates)]
        return self.probing

    def stats(self) -> dict[str, float | str]:
        """Its numbers. breaker: closed while it answers, open while it is left alone, half_open while it is probed."""
        breaker = "closed" if not self.down else "half_open" if self.asking else "open"
        return self.counters.stats() | {"breaker": breaker, "requests_planned": len(self.polls)}

    @property
    def is_unknown(self) -> bool:
        """Whether nothing better than `down` has been told of it on this connection."""
        return self._told is None or self._told.state == "down"

    def news(self, *, answered: bool) -> DeviceState | None:
        """The unit's state when it is other than the last one told.

        While requests are being split, news waits for the result, unless values were just `answered` for the first time.
        """
        first = answered and self.is_unknown
        settled = self.changed and not any(poll.suspect for poll in self.polls)
        if not (first or settled or self.down):
            return None
        self.changed = False
        state = self._state()
        if state == self._told:
            return None
        self._told = state
        return state

    def _state(self) -> DeviceState:
        if self.down:
            return DeviceState(self.device, "down", self.down)
        failing = sorted((row, poll.fault.reason) for poll in self.polls if poll.fault for row in poll.request.rows)
        if not failing:
            return DeviceState(self.device, "ok")
        named = [f"{self._tags[row].name} ({reason})" for row, reason in failing[:_NAMES_SHOWN]]
        more = f" and {len(failing) - _NAMES_SHOWN} more" if len(failing) > _NAMES_SHOWN else ""
        reason = f"{len(failing)} of {counted(len(self._tags), 'tag')} cannot be read: {', '.join(named)}{more}"
        return DeviceState(self.device, "degraded", reason)
