"""The Modbus source: one connection, its units, their requests in turn."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

import numpy as np

from gateway.core.backoff import full_jitter
from gateway.core.blocks import ObjectBlock, SampleBlock
from gateway.core.clock import Clock
from gateway.core.errors import NotConnected
from gateway.core.ports import Reading
from gateway.core.quality import Quality
from gateway.core.sourcekind import DeviceEntry
from gateway.sources.modbus.client import ModbusLink
from gateway.sources.modbus.counters import ConnectionCounters
from gateway.sources.modbus.endpoint import Endpoint
from gateway.sources.modbus.line import Line
from gateway.sources.modbus.link import EXCEPTIONS, BadReply, ExceptionReply, HungUp, Link, NoReply, Refusal
from gateway.sources.modbus.schedule import Schedule
from gateway.sources.modbus.unit import Fault, Poll, Unit

_NS = 1_000_000_000
_LOOK_NS = _NS  # an idle connection is looked at this often
_TIMEOUTS_TO_DOWN = 2
_UNITS_TO_LOST = 5  # this many that used to answer time out, nobody answering in between: it is the connection
_RETURN_FIRST_S, _RETURN_MOST_S = 60.0, 600.0  # on a backup, pauses between looks at the first address
_CONNECT_TIMEOUTS = 3  # room for one lost SYN, which is sent again after a second

_BUSY = (5, 6)
_BUSY_RETRIES = 3
_BUSY_WAIT_NS = 100_000_000
_HANG_UPS = 3  # this many connections in a row ended at the same request: it may be the request
_PASSING_TURNS = 3  # busy, or a wrong reply, for so many turns in a row is not worth telling
_ADDRESS = (1, 2, 3)
_ILLEGAL_FUNCTION = 1
_BEHIND_GATEWAY = (10, 11)


class ModbusSource:
    """One connection or bus serving all units on it (contract: `ports.Source`).

    Requests go out in turn, strictly one after the other unless `max_in_flight` allows more. A refused request is halved
    until the refused tag is alone; that tag is then tried again with growing pauses. A unit that twice does not answer is
    down and is probed with backoff; the others go on. Only a lost connection, or silence of all units, is NotConnected.
    """

    def __init__(
        self,
        entries: Sequence[DeviceEntry],
        clock: Clock,
        link: Callable[[Endpoint], Link] = ModbusLink,
        phase: float = 0.0,
    ) -> None:
        """entries: devices with one `url`. link: makes the connection. phase: 0 to 1, where in the first second its turns
        begin, so that many connections do not all poll at once."""
        self._units = [Unit(entry, (phase + place / len(entries)) % 1) for place, entry in enumerate(entries)]
        self._clock = clock
        endpoint = self._units[0].config.endpoint
        self._url = endpoint.url
        self._counters = ConnectionCounters()
        self._endpoints = self._units[0].config.endpoints
        self._line = Line([link(one) for one in self._endpoints], self._counters)
        self._most = min(unit.config.max_in_flight for unit in self._units)
        self._flights: set[asyncio.Task[None]] = set()
        self._returning: asyncio.Task[bool] | None = None
        self._return_ns = 0
        self._return_delays = full_jitter()
        self._schedule: Schedule[Poll] = Schedule()
        self._out: deque[Reading] = deque()
        self._lost = ""
        self._unheard: set[Unit] = set()
        self._is_stream = not endpoint.is_serial and endpoint.scheme != "udp"

    @property
    def devices(self) -> Sequence[int]:
        """Table rows of its devices."""
        return [unit.device for unit in self._units]

    async def open(self) -> None:
        """Connect, and make every request due now. Raises NotConnected with the reason."""
        await self._line.open(_CONNECT_TIMEOUTS * max(unit.timeout_s for unit in self._units))
        self._out.clear()
        self._unheard.clear()
        self._lost = ""
        for unit in self._units:
            unit.reset()
        now_ns = self._now_ns()
        self._return_delays = full_jitter(_RETURN_FIRST_S, _RETURN_MOST_S)
        self._return_ns = now_ns + round(next(self._return_delays) * _NS)
        self._schedule.restart((poll for unit in self._units for poll in unit.polls), now_ns)
        for poll in [poll for unit in self._units for poll in unit.polls if poll.hang_ups]:
            self._schedule.defer(poll, now_ns + _LOOK_NS)  # others first: they show what the connection is worth

    async def read(self) -> Reading:
        """The next samples (one block per request or part of one) or news of a unit. Raises NotConnected."""
        while not self._out:
            if self._lost:
                raise NotConnected(self._lost)
            if self._line.turn:
                self._look_back()
            await (self._step() if self._most == 1 else self._step_many())
        return self._out.popleft()

    def stats(self) -> dict[int, dict[str, float | str]]:
        """See `Source.stats`."""
        shared = self._counters.stats() | {"connection_address": self._endpoints[self._line.turn].address}
        return {unit.device: unit.stats() | shared for unit in self._units}

    async def close(self) -> None:
        """Let go of the connection; what was learned about failing tags is kept. Never raises."""
        self._line.close()
        tasks = [*self._flights, *([self._returning] if self._returning else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._flights.clear()
        self._returning = None

    def _now_ns(self) -> int:
        return round(self._clock.monotonic() * _NS)

    def _look_back(self) -> None:
        """On a backup: ask now and then, beside the polling, whether the first address answers again."""
        if self._returning is not None and self._returning.done():
            self._returning.result()
            self._returning = None
        now_ns = self._now_ns()
        if self._returning is None and now_ns >= self._return_ns:
            self._return_ns = now_ns + round(next(self._return_delays) * _NS)
            self._returning = asyncio.create_task(self._line.try_first(), name=f"modbus {self._url} first address")

    async def _step(self) -> None:
        """Serve the request that is due, or wait for it."""
        now_ns = self._now_ns()
        poll = self._schedule.current(now_ns)
        if poll is None:
            await self._idle(now_ns)
        elif not self._is_left_alone(poll, now_ns):
            await self._serve(poll)

    async def _step_many(self) -> None:
        """Send what is due, as much as may be in flight, and wait for the next reply or the next turn."""
        now_ns = self._now_ns()
        most = self._most if self._line.has_served else 1  # the first goes alone: it may end the connection for others
        while len(self._flights) < most and (poll := self._schedule.current(now_ns)) is not None:
            if not self._is_left_alone(poll, now_ns):
                self._schedule.remove(poll)
                self._flights.add(asyncio.create_task(self._serve(poll), name=f"modbus {self._url}"))
        if self._out:
            return
        if not self._flights:
            await self._idle(now_ns)
            return
        full = len(self._flights) >= most
        wait_s = None if full else self._schedule.wait_ns(now_ns, _LOOK_NS) / _NS
        done, self._flights = await asyncio.wait(self._flights, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
        for error in [flight.exception() for flight in done]:  # each is asked for, one is enough
            if error is not None:
                raise error

    async def _idle(self, now_ns: int) -> None:
        # loops count in milliseconds: a shorter wait would end early and be begun again
        wait_ms = -(-self._schedule.wait_ns(now_ns, _LOOK_NS) // 1_000_000)
        await self._clock.sleep(wait_ms / 1e3)
        await self._line.look()

    def _is_left_alone(self, poll: Poll, now_ns: int) -> bool:
        """Whether it is known to fail and not to be tried yet; then this turn is over."""
        if poll.fault is None or now_ns >= poll.retry_ns or poll.unit.down:
            return False
        self._give_up(poll, poll.fault.quality)
        return True

    async def _serve(self, poll: Poll) -> None:
        unit, request, counters = poll.unit, poll.request, poll.unit.counters
        counters.requests += 1
        unit.asking = bool(unit.down)
        began_s = self._clock.monotonic()
        try:
            payload = await self._line.read(unit.config.unit, request.table, request.start, request.count, unit.timeout_s)
        except NoReply as error:
            counters.timeouts += 1
            self._unanswered(poll, Quality.BAD_TIMEOUT, str(error), silent=True)
        except BadReply as error:
            counters.bad_replies += 1
            poll.hang_ups += isinstance(error, Refusal)
            self._alive(unit)
            self._mistaken(poll, str(error))
        except HungUp as error:
            self._hung_up(poll, str(error))
            raise
        except ExceptionReply as error:
            counters.exception(error.code)
            counters.replied(self._clock.monotonic() - began_s)
            self._unheard.clear()
            if error.code in _BEHIND_GATEWAY:
                self._unanswered(poll, Quality.BAD_NOT_CONNECTED, str(error), silent=False)
            else:
                self._alive(unit)
                self._refused(poll, error.code)
        else:
            counters.replied(self._clock.monotonic() - began_s)
            self._answered(poll, payload, self._clock.now_ns())
        finally:
            unit.asking = False
            self._counters.requests += 1
            self._counters.busy_s += self._clock.monotonic() - began_s
        if unit.changed or unit.down:
            self._tell(unit)

    def _answered(self, poll: Poll, payload: bytes, time_ns: int) -> None:
        self._alive(poll.unit)
        news = poll.succeeded()
        self._tell(poll.unit, answered=True)
        value, quality, objects = poll.decode(payload)
        if value.size:
            self._out.append(SampleBlock(poll.numeric_tags, np.full(value.size, time_ns, np.int64), value, quality))
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
        self._out.append(ObjectBlock(poll.tags[list(places)], times, values, np.array(codes, np.uint8)))

    def _refused(self, poll: Poll, code: int) -> None:
        """An exception reply: MODBUS Application Protocol 1.1b3, section 7."""
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

    def _mistaken(self, poll: Poll, reason: str) -> None:
        """A reply that does not fit the request. Some devices always give one where a request goes past what they have."""
        if poll.retired:
            self._bad(poll, Quality.BAD_COMM_FAILURE)
            return
        poll.failures += 1
        if poll.failures <= _PASSING_TURNS and poll.fault is None:
            self._give_up(poll, Quality.BAD_COMM_FAILURE)
        else:
            self._search(poll, Fault(Quality.BAD_COMM_FAILURE, reason))

    def _hung_up(self, poll: Poll, reason: str) -> None:
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
            self._schedule.replace(poll, poll.unit.split(poll))
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
        self._schedule.replace(min(parts, key=lambda part: part.due_ns), new)
        for part in parts:
            self._schedule.remove(part)

    def _busy(self, poll: Poll, code: int) -> None:
        """Wait and ask again, while others have the line; but not beyond this turn."""
        poll.busy += 1
        now_ns = self._now_ns()
        again_ns = now_ns + poll.busy * _BUSY_WAIT_NS
        if poll.busy <= _BUSY_RETRIES and again_ns < poll.due_ns + poll.interval_ns:
            self._schedule.defer(poll, again_ns)
            return
        poll.busy = 0
        poll.failures += 1
        if poll.failures > _PASSING_TURNS or poll.unit.is_unknown:  # told, and still asked at every turn
            poll.condemn(Fault(Quality.BAD_COMM_FAILURE, EXCEPTIONS[code]), now_ns)
        self._give_up(poll, Quality.BAD_COMM_FAILURE)

    def _unanswered(self, poll: Poll, quality: Quality, reason: str, *, silent: bool) -> None:
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
            self._lost = f"{self._url}: {len(self._unheard)} units that used to answer fell silent together: {reason}"

    def _spare_cycle(self, unit: Unit, quality: Quality, now_ns: int) -> None:
        self._schedule.current(now_ns)
        for other in self._schedule.ready(lambda poll: poll.unit is unit):
            self._give_up(other, other.fault.quality if other.fault else quality, catch_up=False)

    def _take_down(self, unit: Unit, reason: str, *, silent: bool) -> None:
        """From now on one request at a time, with backoff, asks whether the unit is back."""
        unit.down = unit.down or f"unit {unit.config.unit} does not answer: {reason}, {unit.timeouts} times in a row"
        unit.silent = silent
        for poll in unit.polls:
            self._schedule.remove(poll)
        self._schedule.defer(unit.probe(), self._now_ns() + round(next(unit.probe_delays) * _NS))
        if all(other.down and other.silent for other in self._units if other.polls):
            self._lost = f"{self._url}: no unit answers ({unit.down})"

    def _alive(self, unit: Unit) -> None:
        self._unheard.clear()
        unit.timeouts, unit.heard = 0, True
        if unit.down:
            unit.down, unit.probing = "", None
            unit.probe_delays = full_jitter()
            unit.changed = True
            now_ns = self._now_ns()
            for poll in unit.polls:
                self._schedule.hurry(poll, now_ns)

    def _bad(self, poll: Poll, quality: Quality) -> None:
        poll.suspect = False
        time_ns = self._clock.now_ns()
        self._out.append(SampleBlock.bad(poll.tags, time_ns, quality))
        if places := poll.decode.object_rows:
            self._objects(poll, places, [None] * len(places), [quality] * len(places), time_ns)

    def _give_up(self, poll: Poll, quality: Quality, *, catch_up: bool = True) -> None:
        """This turn gives samples without values."""
        self._bad(poll, quality)
        self._advance(poll, catch_up=catch_up)

    def _advance(self, poll: Poll, *, catch_up: bool = True) -> None:
        if poll.retired:
            return
        missed = self._schedule.advance(poll, self._now_ns(), catch_up=catch_up)
        if not poll.unit.down:  # a unit that is down has no turns to miss
            poll.unit.counters.overruns += missed

    def _tell(self, unit: Unit, *, answered: bool = False) -> None:
        state = None if self._lost else unit.news(answered=answered)
        if state is not None:
            self._out.append(state)
