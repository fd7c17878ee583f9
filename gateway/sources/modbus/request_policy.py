"""What follows from each answer, refusal and silence: samples, the state of units, what is asked next. No I/O."""

from collections import deque
from collections.abc import Sequence

import numpy as np

from gateway.core.backoff import full_jitter
from gateway.core.blocks import ObjectBlock, SampleBlock
from gateway.core.clock import Clock
from gateway.core.ports.source import Reading
from gateway.core.quality import Quality
from gateway.sources.modbus.link import EXCEPTIONS, BadReply, ExceptionReply, Refusal
from gateway.sources.modbus.schedule import Schedule
from gateway.sources.modbus.unit import Fault, Poll, Unit

_NS = 1_000_000_000
_LATER_NS = _NS
_TIMEOUTS_TO_DOWN = 2
_UNITS_TO_LOST = 5  # this many that used to answer time out, nobody answering in between: it is the connection

_BUSY = (5, 6)
_BUSY_RETRIES = 3
_BUSY_WAIT_NS = 100_000_000
_HANG_UPS = 3  # this many connections in a row ended at the same request: it may be the request
_PASSING_TURNS = 3  # busy, or a wrong reply, for so many turns in a row is not worth telling
_ADDRESS = (1, 2, 3)
_ILLEGAL_FUNCTION = 1
_BEHIND_GATEWAY = (10, 11)


class Outcomes:
    """The judgement of one connection's source: told what became of each request, it decides what that means.

    A refused request is halved until the refused tag is alone; that tag is then tried again with growing pauses. A unit that
    twice does not answer is down and is probed with backoff; the others go on.

    schedule: whose turn it is. out: samples and news to be handed on. lost: why the whole connection counts as gone.
    is_careful: the first request should go alone, because some may end the connection for others.
    """

    def __init__(self, units: Sequence[Unit], clock: Clock, url: str, *, is_stream: bool) -> None:
        """is_stream: the connection has two ends that know of each other (TCP, TLS)."""
        self._units = units
        self._clock = clock
        self._url = url
        self._is_stream = is_stream
        self._unheard: set[Unit] = set()
        self.schedule: Schedule[Poll] = Schedule()
        self.out: deque[Reading] = deque()
        self.lost = ""
        self.is_careful = False

    def restart(self) -> None:
        """A new connection: every request is due at its phase from now."""
        self.out.clear()
        self._unheard.clear()
        self.lost = ""
        for unit in self._units:
            unit.reset()
        now_ns = self._now_ns()
        self.schedule.restart((poll for unit in self._units for poll in unit.polls), now_ns)
        suspects = [poll for unit in self._units for poll in unit.polls if poll.hang_ups]
        self.is_careful = bool(suspects)
        for poll in suspects:
            self.schedule.defer(poll, now_ns + _LATER_NS)  # others first: they show what the connection is worth

    def _now_ns(self) -> int:
        return round(self._clock.monotonic() * _NS)

    def is_left_alone(self, poll: Poll, now_ns: int) -> bool:
        """Whether it is known to fail and not to be tried yet; then this turn is over. That its tags are bad is told once:
        no sample stands for a request that was not sent."""
        if poll.fault is None or now_ns >= poll.retry_ns or poll.unit.down:
            return False
        if poll.is_told:
            self._advance(poll)
        else:
            self._give_up(poll, poll.fault.quality)
        return True

    def answered(self, poll: Poll, payload: bytes, time_ns: int) -> None:
        """A reply came at this wall time."""
        self._alive(poll.unit)
        news = poll.succeeded()
        self.tell(poll.unit, answered=True)
        value, quality, objects = poll.decode(payload)
        if value.size:
            self.out.append(SampleBlock(poll.numeric_tags, np.full(value.size, time_ns, np.int64), value, quality))
        if objects:
            places, told, codes = zip(*objects, strict=True)
            self._objects(poll, places, told, codes, time_ns)
        self._advance(poll)
        if news:
            self._regroup(poll)

    def _objects(
        self, poll: Poll, places: Sequence[int], values: Sequence[object], codes: Sequence[int], time_ns: int
    ) -> None:
        times = np.full(len(values), time_ns, np.int64)
        self.out.append(ObjectBlock(poll.tags[list(places)], times, values, np.array(codes, np.uint8)))

    def refused(self, poll: Poll, error: ExceptionReply) -> None:
        """An exception reply: MODBUS Application Protocol 1.1b3, section 7."""
        code = error.code
        self._unheard.clear()
        if code in _BEHIND_GATEWAY:
            self.unanswered(poll, Quality.BAD_NOT_CONNECTED, str(error), silent=False)
            return
        self._alive(poll.unit)
        quality = Quality.BAD_ADDRESS if code in _ADDRESS else Quality.BAD_DEVICE_FAILURE
        if poll.retired:
            self._bad(poll, quality)
            return
        if code in _BUSY:
            self._busy(poll, code)
            return
        poll.failures += 1
        if code not in _ADDRESS and poll.failures == 1:  # it may pass; only a lasting failure is looked into
            self._give_up(poll, quality)
            return
        fault = Fault(quality, EXCEPTIONS.get(code, f"exception {code}"))
        self._search(poll, fault, can_split=code != _ILLEGAL_FUNCTION)

    def mistaken(self, poll: Poll, error: BadReply) -> None:
        """A reply that does not fit the request, or the end of the connection at this request and no other. Some devices
        always give one where a request goes past what they have."""
        self._alive(poll.unit)
        poll.hang_ups += isinstance(error, Refusal)
        if poll.retired:
            self._bad(poll, Quality.BAD_COMM_FAILURE)
            return
        poll.failures += 1
        if poll.failures <= _PASSING_TURNS and poll.fault is None:
            self._give_up(poll, Quality.BAD_COMM_FAILURE)
        else:
            self._search(poll, Fault(Quality.BAD_COMM_FAILURE, str(error)))

    def hung_up(self, poll: Poll, reason: str) -> None:
        """The connection ended at this request, before it served any. What a device does that is going away, that allows no
        further connection, or that does not like the request: after a few times the last is looked into as well."""
        if poll.retired:
            return
        poll.hang_ups += 1
        if poll.hang_ups >= _HANG_UPS:
            self._search(poll, Fault(Quality.BAD_COMM_FAILURE, reason))

    def _search(self, poll: Poll, fault: Fault, *, can_split: bool = True) -> None:
        """A request fails for good: halve it until the culprit is alone; that is left alone for a while."""
        quality = fault.quality
        if len(poll.request.spans) > 1 and can_split:
            self.schedule.replace(poll, poll.unit.split(poll))
            return
        poll.condemn(fault, self._now_ns() + round(next(poll.refusals) * _NS))
        self._give_up(poll, quality)
        if joined := poll.unit.join(poll):
            parts, whole = joined
            self._swap(parts, [whole])
        else:
            self._regroup(poll)

    def _regroup(self, poll: Poll) -> None:
        if swap := poll.unit.regroup(poll):
            self._swap(*swap)

    def _swap(self, parts: Sequence[Poll], new: Sequence[Poll]) -> None:
        """Others take the place of these, at the earliest of their turns."""
        self.schedule.replace(min(parts, key=lambda part: part.due_ns), new)
        for part in parts:
            self.schedule.remove(part)

    def _busy(self, poll: Poll, code: int) -> None:
        """Wait and ask again, while others have the line; but not beyond this turn."""
        poll.busy += 1
        now_ns = self._now_ns()
        again_ns = now_ns + poll.busy * _BUSY_WAIT_NS
        if poll.busy <= _BUSY_RETRIES and again_ns < poll.due_ns + poll.interval_ns:
            self.schedule.defer(poll, again_ns)
            return
        poll.busy = 0
        poll.failures += 1
        if poll.failures > _PASSING_TURNS or poll.unit.is_unknown:  # told, and still asked at every turn
            poll.condemn(Fault(Quality.BAD_COMM_FAILURE, EXCEPTIONS[code]), now_ns)
        self._give_up(poll, Quality.BAD_COMM_FAILURE)

    def unanswered(self, poll: Poll, quality: Quality, reason: str, *, silent: bool) -> None:
        """The unit did not answer; its other requests of this cycle are not worth another timeout each."""
        unit = poll.unit
        if unit.down and poll is not unit.probing:  # was in flight when another one took the unit down
            self._bad(poll, quality)
            return
        unit.timeouts += 1
        poll.failures += 1
        if silent and unit.heard:
            self._unheard.add(unit)
        now_ns = self._now_ns()
        self._give_up(poll, quality, catch_up=False)
        if unit.down or unit.timeouts >= _TIMEOUTS_TO_DOWN:
            self._spare_cycle(unit, quality, now_ns)
            self._take_down(unit, reason, silent=silent)
        elif poll.failures > 1:  # others are answered in between: it is this request that the unit is silent on
            poll.condemn(Fault(quality, reason), now_ns + round(next(poll.retries) * _NS))
        else:
            self._spare_cycle(unit, quality, now_ns)
        if self._is_stream and len(self._unheard) >= _UNITS_TO_LOST:
            self.lost = f"{self._url}: {len(self._unheard)} units that used to answer fell silent together: {reason}"

    def _spare_cycle(self, unit: Unit, quality: Quality, now_ns: int) -> None:
        self.schedule.current(now_ns)
        for other in self.schedule.ready(lambda poll: poll.unit is unit):
            self._give_up(other, other.fault.quality if other.fault else quality, catch_up=False)

    def _take_down(self, unit: Unit, reason: str, *, silent: bool) -> None:
        """From now on one request at a time, with backoff, asks whether the unit is back."""
        unit.down = unit.down or f"unit {unit.config.unit} does not answer: {reason}, {unit.timeouts} times in a row"
        unit.silent = silent
        for poll in unit.polls:
            poll.is_told = False
            self.schedule.remove(poll)
        self.schedule.defer(unit.probe(), self._now_ns() + round(next(unit.probe_delays) * _NS))
        if all(other.down and other.silent for other in self._units if other.polls):
            self.lost = f"{self._url}: no unit answers ({unit.down})"

    def _alive(self, unit: Unit) -> None:
        self._unheard.clear()
        unit.timeouts, unit.heard = 0, True
        if unit.down:
            unit.down, unit.probing = "", None
            unit.probe_delays = full_jitter()
            unit.changed = True
            now_ns = self._now_ns()
            for poll in unit.polls:
                self.schedule.hurry(poll, now_ns)

    def _bad(self, poll: Poll, quality: Quality) -> None:
        poll.suspect, poll.is_told = False, poll.fault is not None
        time_ns = self._clock.now_ns()
        self.out.append(SampleBlock.bad(poll.tags, time_ns, quality))
        if places := poll.decode.object_rows:
            self._objects(poll, places, [None] * len(places), [quality] * len(places), time_ns)

    def _give_up(self, poll: Poll, quality: Quality, *, catch_up: bool = True) -> None:
        """This turn gives samples without values."""
        self._bad(poll, quality)
        self._advance(poll, catch_up=catch_up)

    def _advance(self, poll: Poll, *, catch_up: bool = True) -> None:
        if poll.retired:
            return
        missed = self.schedule.advance(poll, self._now_ns(), catch_up=catch_up)
        if not poll.unit.down:  # a unit that is down has no turns to miss
            poll.unit.counters.overruns += missed

    def tell(self, unit: Unit, *, answered: bool = False) -> None:
        """Hand on the unit's state when it is other than the last one told."""
        state = None if self.lost else unit.news(answered=answered)
        if state is not None:
            self.out.append(state)
