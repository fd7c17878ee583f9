"""What is known of one unit: its requests, which of them fail, whether it answers at all. Pure state, no I/O."""

from collections.abc import Iterator
from dataclasses import replace
from enum import StrEnum

import numpy as np

from gateway.core.backoff import full_jitter
from gateway.core.messages import DeviceState
from gateway.core.plural import counted
from gateway.core.ports.plugin import DeviceEntry
from gateway.sources.modbus.byte_order_advice import byte_order_advice
from gateway.sources.modbus.config import ModbusDevice
from gateway.sources.modbus.counters import Counters
from gateway.sources.modbus.decode import Decoder
from gateway.sources.modbus.plan import Limits, Request, cover, limits_of, plan_device, split
from gateway.sources.modbus.poll import Poll, PollState
from gateway.sources.modbus.probing import life_signs

_NAMES_SHOWN = 5
_EXAMINED_EVERY_NS = 10_000_000_000
_MOST_PLANS = 2


class Breaker(StrEnum):
    """Whether requests are sent to a unit, as published in its counters."""

    CLOSED = "closed"
    """It answers."""
    OPEN = "open"
    """It does not answer and is left alone."""
    HALF_OPEN = "half_open"
    """It does not answer, and one request asks whether it is back."""


class Unit:
    """One configured device: a unit id on a connection.

    Attributes:
        polls: Its requests as they stand now.
        breaker: Whether requests are sent to it.
        down_reason: Why it counts as gone, empty while it answers.
        is_silent: While it is down: there was no reply at all, not even of a gateway before it.
        has_answered: It has answered on this connection.
        replies: Replies of any kind, ever.
        timeouts: Unanswered requests in a row, but for those that are known to be silent alone.
        probing: The one request that is sent while it does not answer.
        signs_left: How many more requests may bring a sign of life before it counts as down.
        has_news: Faults came or went since `next_state`.
        phase: Where in the first second its turns begin, 0 to 1.
        remark: What is wrong with its line though it answers, for people; empty while nothing is.
        advice: What is wrong with its values by all appearances, and what would help; empty while nothing is.
    """

    def __init__(self, entry: DeviceEntry, phase: float = 0.0) -> None:
        """Plan the requests of a device. entry: a `ModbusDevice` and its `ModbusTag`s."""
        self.config: ModbusDevice = entry.config
        self.phase = phase
        self.remark = self.advice = ""
        self.replies = 0
        self.counters = Counters()
        self.device = entry.number
        self.timeout_s = self.config.timeout / 1e9
        self._tags = entry.tags
        self._first_tag = entry.first_tag
        self.polls = [self._poll(request, request, interval) for interval, request in plan_device(self.config, entry.tags)]
        self._plans: dict[Request, int] = {}
        self._signs_tried = 0
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
        self.signs_left = 0
        self.probe_delays = full_jitter()
        self._probes: Iterator[Poll] = iter(())
        self._reported: DeviceState | None = None
        for poll in self.polls:
            poll.failures, poll.busy, poll.has_answered, poll.silent_at = 0, 0, False, self.replies
            poll.forget_report()
            if not poll.hang_ups:
                poll.retry_ns = 0

    def examine(self, poll: Poll, payload: bytes, now_ns: int) -> None:
        """Look now and then for signs of a wrong byte order in a reply."""
        if now_ns < poll.examine_ns:
            return
        poll.examine_ns = now_ns + _EXAMINED_EVERY_NS
        advice = byte_order_advice(poll.request, self._tags, self.config.byte_order, payload)
        if advice and not self.advice:
            self.advice, self.has_news = advice, True
        elif not advice and poll.advised:
            self.advice, self.has_news = "", True
        poll.advised = bool(advice)

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
        table, limits = poll.request.table, limits_of(self.config, poll.request.table, poll.request.octets)
        gapless = tried > 0 or (tried < 0 and not bad)
        holes = limits.forbidden + tuple((span.start, span.end - 1) for span in bad)
        limits = Limits(limits.max_count, 0 if gapless else limits.max_gap, holes, limits.octets)
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

    def doubt(self) -> int:
        """Begin to look for a sign of life. Returns how many requests are worth sending before it counts as down."""
        suspects = [poll for poll in self.polls if poll.failures]
        self._probes, at_once = life_signs(self.polls, suspects, self._single, self._signs_tried)
        return at_once

    def probe(self) -> Poll:
        """Return the request to send next while the unit does not answer."""
        self._signs_tried += 1
        self.probing = next(self._probes)
        return self.probing

    def _single(self, poll: Poll, at: int) -> Poll:
        """Return a request for one tag of another request. It stands for no turn of its own."""
        whole, span = poll.request, poll.request.spans[at : at + 1]
        request = replace(whole, spans=span) if self.config.requests else Request.of(whole.table, span, whole.octets)
        single = self._poll(request, poll.origin, poll.interval_ns)
        single.state, single.cycle = PollState.REPLACED, poll.cycle
        return single

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
        if self.down_reason:
            return DeviceState(self.device, "down", self.down_reason)
        failing = sorted((row, poll.fault.reason) for poll in self.polls if poll.fault for row in poll.request.rows)
        remark = "; ".join(filter(None, (self.remark, self.advice)))
        if not failing:
            return DeviceState(self.device, "degraded" if remark else "ok", remark)
        named = [f"{self._tags[row].name} ({reason})" for row, reason in failing[:_NAMES_SHOWN]]
        more = f" and {len(failing) - _NAMES_SHOWN} more" if len(failing) > _NAMES_SHOWN else ""
        remark = f"{remark}; " if remark else ""
        reason = f"{remark}{len(failing)} of {counted(len(self._tags), 'tag')} cannot be read: {', '.join(named)}{more}"
        return DeviceState(self.device, "degraded", reason)
