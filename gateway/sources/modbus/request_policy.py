"""What follows from each answer, refusal and silence: samples, the state of units, what is asked next. No I/O."""

from collections.abc import Sequence

from gateway.core.backoff import full_jitter
from gateway.core.clock import Clock
from gateway.core.loop_watch import Arrival
from gateway.core.ports.source import Reading
from gateway.core.quality import Quality
from gateway.sources.modbus.link import EXCEPTIONS, BadReply, ExceptionReply, Refusal
from gateway.sources.modbus.poll import Fault, Poll, PollState
from gateway.sources.modbus.poll_samples import bad_samples, samples
from gateway.sources.modbus.schedule import Schedule
from gateway.sources.modbus.shared_line import REASON, SharedLine
from gateway.sources.modbus.unit import Breaker, Unit

_NS = 1_000_000_000
_LATER_NS = _NS
_TIMEOUTS_TO_DOWN = 2
_TIMEOUTS_IN_SEARCH = 4  # while the silent part of a request is searched, so many in a row are likely
_UNITS_TO_LOST = 5  # so many that used to answer time out, nobody answering in between: it is the connection
_BUSY = (5, 6)
_BUSY_RETRIES, _BUSY_WAIT_NS = 3, 100_000_000
_HANG_UPS = 3  # this many connections in a row ended at the same request: it may be the request
_PASSING_TURNS = 3  # busy, or a wrong reply, for so many turns in a row is not reported
_ADDRESS = (1, 2, 3)
_ILLEGAL_FUNCTION = 1
_BEHIND_GATEWAY = (10, 11)


class RequestPolicy:
    """The consequences of what became of each request on one connection.

    A request that is refused, or that a unit does not answer although it answers others, is halved until the culprit is
    alone; that tag is then tried again with growing pauses. A unit that answers nothing is down and is probed with backoff;
    the others go on.

    Attributes:
        schedule: Whose turn it is.
        line: Whether another master polls it, and what is held because of that.
        out: Samples and states of units to be handed on.
        lost: Why the whole connection counts as gone, empty while it does not.
        is_careful: The first request should go alone, because some may end the connection for others.
    """

    def __init__(self, units: Sequence[Unit], clock: Clock, url: str, line: SharedLine, *, is_stream: bool) -> None:
        """Begin without a connection. line: takes over what is read; is_stream: TCP or TLS: its ends know of each other."""
        self._units = units
        self._clock = clock
        self._url = url
        self._is_stream = is_stream
        self._silent_units: set[Unit] = set()
        self.schedule: Schedule[Poll] = Schedule()
        self.line = line
        self.out = line.out
        self.lost = self._advice = ""
        self.is_careful = False

    def on_connected(self) -> None:
        """Begin on a new connection: every request is due at its phase from now."""
        self.line.clear()
        self._silent_units.clear()
        self.lost = ""
        for unit in self._units:
            unit.on_connected()
        now_ns = self._now_ns()
        self.schedule.restart((poll for unit in self._units for poll in unit.polls), now_ns)
        possible_culprits = [poll for unit in self._units for poll in unit.polls if poll.hang_ups]
        self.is_careful = bool(possible_culprits)
        for poll in possible_culprits:
            self.schedule.defer(poll, now_ns + _LATER_NS)  # others first: they show whether the connection works at all

    def _now_ns(self) -> int:
        return round(self._clock.monotonic() * _NS)

    def _add(self, item: Reading) -> None:
        self.line.add(item, self._now_ns())

    def on_line(self, unasked: int, advice: str) -> None:
        """Draw the consequences of how many replies came that nobody here asked for, and of what the link advises."""
        if not self.line.observe(unasked, self._now_ns()) and advice == self._advice:
            return
        self._advice = advice
        for unit in self._units:
            unit.remark, unit.has_news = "; ".join(filter(None, (REASON if self.line.is_shared else "", advice))), True
            if not unit.is_unknown:
                self.report_state(unit)

    def skips(self, poll: Poll, now_ns: int) -> bool:
        """End the turn of a request that is known to fail and not due for a retry. Returns whether that is so.

        Its tags are reported bad once: no sample stands for a request that was not sent.
        """
        if poll.fault is None or now_ns >= poll.retry_ns or poll.unit.is_down:
            return False
        if poll.state is PollState.REPORTED:
            self._advance(poll)
        else:
            self._fail_turn(poll, poll.fault.quality)
        return True

    def on_reply(self, poll: Poll, payload: bytes, arrival: Arrival) -> None:
        """Hand on the values of a reply."""
        self._record_alive(poll.unit)
        is_news = poll.record_success()
        poll.unit.examine(poll, payload, self._now_ns())
        self.report_state(poll.unit, is_answered=True)
        for block in samples(poll, payload, arrival):
            self._add(block)
        self._advance(poll)
        if is_news:
            self._swap(poll.unit.regroup(poll))

    def on_exception(self, poll: Poll, error: ExceptionReply) -> None:
        """Draw the consequences of an exception reply (MODBUS Application Protocol 1.1b3, section 7)."""
        code = error.code
        self._silent_units.clear()
        if code in _BEHIND_GATEWAY:
            self.on_no_reply(poll, Quality.BAD_NOT_CONNECTED, str(error), is_silent=False)
            return
        self._record_alive(poll.unit)
        quality = Quality.BAD_ADDRESS if code in _ADDRESS else Quality.BAD_DEVICE_FAILURE
        if poll.is_replaced:
            self._end_turn(poll, quality)
            return
        if code in _BUSY:
            self._busy(poll, code)
            return
        poll.failures += 1
        if code not in _ADDRESS and poll.failures == 1:  # it may be over at the next turn: no search yet
            self._fail_turn(poll, quality)
            return
        fault = Fault(quality, EXCEPTIONS.get(code, f"exception {code}"))
        self._search(poll, fault, can_split=code != _ILLEGAL_FUNCTION)

    def on_bad_reply(self, poll: Poll, error: BadReply) -> None:
        """Draw the consequences of a reply that does not fit the request, or of a connection that ends at it and no other.

        Some devices always do so where a request goes past what they have.
        """
        self._record_alive(poll.unit)
        poll.hang_ups += isinstance(error, Refusal)
        if poll.is_replaced:
            self._end_turn(poll, Quality.BAD_COMM_FAILURE)
            return
        poll.failures += 1
        if poll.failures <= _PASSING_TURNS and poll.fault is None:
            self._fail_turn(poll, Quality.BAD_COMM_FAILURE)
        else:
            self._search(poll, Fault(Quality.BAD_COMM_FAILURE, str(error)))

    def on_connection_closed(self, poll: Poll, reason: str) -> None:
        """Draw the consequences of a connection that ended at this request, before it served any.

        A device does so when it goes away, when it allows no further connection, or because of the request: after a few
        times the culprit is searched in the request as well.
        """
        if poll.is_replaced:
            return
        poll.hang_ups += 1
        if poll.hang_ups >= _HANG_UPS:
            self._search(poll, Fault(Quality.BAD_COMM_FAILURE, reason))

    def _search(self, poll: Poll, fault: Fault, *, can_split: bool = True) -> None:
        """Halve a request that fails for good until the culprit is alone; that is not sent again for a while."""
        quality = fault.quality
        if len(poll.request.spans) > 1 and can_split and not poll.unit.config.requests:
            self.schedule.replace(poll, poll.unit.split(poll))
            return
        poll.fail(fault, self._now_ns() + round(next(poll.refusals) * _NS))
        self._fail_turn(poll, quality)
        if joined := poll.unit.join(poll):
            parts, whole = joined
            self._swap((parts, [whole]))
        else:
            self._swap(poll.unit.regroup(poll))

    def _swap(self, swap: tuple[Sequence[Poll], Sequence[Poll]] | None) -> None:
        """Put other requests (the second) in the place of these (the first), at the earliest of their turns."""
        if swap is None:
            return
        parts, new = swap
        self.schedule.replace(min(parts, key=lambda part: part.due_ns), new)
        for part in parts:
            self.schedule.remove(part)

    def _busy(self, poll: Poll, code: int) -> None:
        """Send it again a little later, while others have the line; but not beyond this turn."""
        poll.busy += 1
        now_ns = self._now_ns()
        again_ns = now_ns + poll.busy * _BUSY_WAIT_NS
        if poll.busy <= _BUSY_RETRIES and again_ns < poll.due_ns + poll.interval_ns:
            self.schedule.defer(poll, again_ns)
            return
        poll.busy = 0
        poll.failures += 1
        if poll.failures > _PASSING_TURNS or poll.unit.is_unknown:  # reported, and still sent at every turn
            poll.fail(Fault(Quality.BAD_COMM_FAILURE, EXCEPTIONS[code]), now_ns)
        self._fail_turn(poll, Quality.BAD_COMM_FAILURE)

    def on_no_reply(self, poll: Poll, quality: Quality, reason: str, *, is_silent: bool) -> None:
        """Draw the consequences of a missing reply.

        Where the unit answered something else meanwhile, the culprit is searched in the request. Where it did not, a sign of
        life is looked for, and only a unit that gives none is down. is_silent: nothing came at all, not even an exception of
        a gateway before the unit.
        """
        unit = poll.unit
        if unit.is_down and poll is not unit.probing:  # was in flight when another one took the unit down
            self._end_turn(poll, quality)
            return
        is_known, is_search = poll.fault is not None, poll.state is PollState.UNTRIED
        is_alone = poll.is_silent_alone or is_known or is_search
        poll.failures, poll.silent_at = poll.failures + 1, unit.replies
        unit.timeouts += not is_known
        if is_silent and unit.has_answered and not is_known:
            self._silent_units.add(unit)
        if unit.is_down:
            self._fail_turn(poll, quality, catch_up=False)
            self._probe_again(unit, reason, is_silent=is_silent)
        elif unit.timeouts >= (_TIMEOUTS_IN_SEARCH if is_alone else _TIMEOUTS_TO_DOWN):
            self._fail_turn(poll, quality, catch_up=False)
            self._skip_cycle(unit, quality, self._now_ns())
            self._doubt(unit, reason, is_silent=is_silent)
        elif is_alone:
            self._search(poll, Fault(quality, f" to {poll.place}; ".join(f"{reason}; ".split("; ", 1)).removesuffix("; ")))
        else:  # the unit's other requests of this cycle do not wait for a timeout each
            self._fail_turn(poll, quality, catch_up=False)
            self._skip_cycle(unit, quality, self._now_ns())
        if self._is_stream and len(self._silent_units) >= _UNITS_TO_LOST:
            self.lost = f"{self._url}: {len(self._silent_units)} units that used to answer fell silent together: {reason}"

    def _skip_cycle(self, unit: Unit, quality: Quality, now_ns: int) -> None:
        self.schedule.current(now_ns)
        for other in self.schedule.ready(lambda poll: poll.unit is unit):
            self._fail_turn(other, other.fault.quality if other.fault else quality, catch_up=False)

    def _doubt(self, unit: Unit, reason: str, *, is_silent: bool) -> None:
        """Ask for a sign of life, one request at a time, before the unit counts as down."""
        unit.signs_left = unit.doubt()
        self._probe_again(unit, reason, is_silent=is_silent)

    def _probe_again(self, unit: Unit, reason: str, *, is_silent: bool) -> None:
        """Send the next request that may be answered: at once in doubt, else with backoff."""
        unit.breaker, unit.is_silent = Breaker.OPEN, is_silent
        for poll in unit.polls:
            self.schedule.remove(poll)
        pause_ns = 0
        if unit.signs_left:
            unit.signs_left -= 1
        else:
            if not unit.down_reason:
                unit.down_reason = f"unit {unit.config.unit} does not answer: {reason}, {unit.timeouts} times in a row"
            for poll in unit.polls:
                poll.forget_report()
            pause_ns = round(next(unit.probe_delays) * _NS)
        self.schedule.defer(unit.probe(), self._now_ns() + pause_ns)
        if all(other.down_reason and other.is_silent for other in self._units if other.polls):
            self.lost = f"{self._url}: no unit answers ({unit.down_reason})"

    def _record_alive(self, unit: Unit) -> None:
        self._silent_units.clear()
        unit.timeouts, unit.has_answered = 0, True
        unit.replies += 1
        if unit.is_down:
            unit.has_news = unit.has_news or bool(unit.down_reason)
            unit.breaker, unit.down_reason, unit.probing = Breaker.CLOSED, "", None
            unit.probe_delays = full_jitter()
            now_ns = self._now_ns()
            for poll in unit.polls:
                self.schedule.hurry(poll, now_ns)

    def _end_turn(self, poll: Poll, quality: Quality) -> None:
        """End the turn of a request that others have replaced, or that only asked for a sign of life."""
        self._add_bad_samples(poll, quality)
        self.schedule.remove(poll)

    def _add_bad_samples(self, poll: Poll, quality: Quality) -> None:
        poll.record_bad_samples()
        for block in bad_samples(poll, quality, self._clock.now_ns()):
            self._add(block)

    def _fail_turn(self, poll: Poll, quality: Quality, *, catch_up: bool = True) -> None:
        """End this turn with samples without values."""
        self._add_bad_samples(poll, quality)
        self._advance(poll, catch_up=catch_up)

    def _advance(self, poll: Poll, *, catch_up: bool = True) -> None:
        if poll.is_replaced:
            self.schedule.remove(poll)
            return
        missed = self.schedule.advance(poll, self._now_ns(), catch_up=catch_up)
        if missed and not poll.unit.is_down:  # a unit that is down has no turns to miss
            poll.unit.counters.overruns += missed

    def report_state(self, unit: Unit, *, is_answered: bool = False) -> None:
        """Hand on the unit's state when it is other than the last one reported. is_answered: values have just come."""
        state = None if self.lost else unit.next_state(is_answered=is_answered)
        if state is not None:
            self._add(state)
