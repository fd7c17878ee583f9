"""The Modbus source: one connection, its units, their requests in turn."""

import asyncio
from collections.abc import Callable, Sequence

from gateway.core import spans
from gateway.core.backoff import full_jitter
from gateway.core.clock import Clock
from gateway.core.errors import NotConnected
from gateway.core.ports.plugin import DeviceEntry
from gateway.core.ports.source import Reading
from gateway.core.quality import Quality
from gateway.sources.modbus.client import ModbusLink
from gateway.sources.modbus.counters import ConnectionCounters
from gateway.sources.modbus.endpoint import Endpoint
from gateway.sources.modbus.failover_link import FailoverLink
from gateway.sources.modbus.link import BadReply, ExceptionReply, HungUp, Link, NoReply
from gateway.sources.modbus.poll import Poll
from gateway.sources.modbus.request_policy import RequestPolicy
from gateway.sources.modbus.shared_line import SharedLine
from gateway.sources.modbus.unit import Breaker, Unit

_NS = 1_000_000_000
_CHECK_NS = _NS  # an idle connection is checked this often
_RETURN_FIRST_S, _RETURN_MOST_S = 60.0, 600.0  # on a backup, pauses between attempts at the first address
_CONNECT_TIMEOUTS = 3  # room for one lost SYN, which is sent again after a second


class ModbusSource:
    """One connection or bus serving all units on it (contract: `ports.Source`).

    Requests go out in turn, strictly one after the other unless `max_in_flight` allows more. What their answers mean is
    decided in `RequestPolicy`. Only a lost connection, or silence of all units, is NotConnected.
    """

    def __init__(
        self,
        entries: Sequence[DeviceEntry],
        clock: Clock,
        link: Callable[[Endpoint], Link] = ModbusLink,
        phase: float = 0.0,
    ) -> None:
        """Build it without I/O. entries: devices with one `url`.

        link: makes the connection. phase: 0 to 1, where in the first second its turns begin, so that many connections do
        not all poll at once.
        """
        self._units = [Unit(entry, (phase + place / len(entries)) % 1) for place, entry in enumerate(entries)]
        self._clock = clock
        endpoint = self._units[0].config.endpoint
        self._url = endpoint.url
        self._counters = ConnectionCounters()
        self._endpoints = self._units[0].config.endpoints
        self._link = FailoverLink([link(one) for one in self._endpoints], self._counters)
        self._most = min(unit.config.max_in_flight for unit in self._units)
        self._in_flight: set[asyncio.Task[None]] = set()
        self._returning: asyncio.Task[bool] | None = None
        self._return_ns = 0
        self._return_delays = full_jitter()
        is_stream = not endpoint.is_serial and endpoint.scheme != "udp"
        self._line = SharedLine(lambda: round(self._link.doubt_s * _NS), is_line=endpoint.is_ambiguous)
        self._policy = RequestPolicy(self._units, clock, endpoint.url, self._line, is_stream=is_stream)
        self._schedule, self._out = self._policy.schedule, self._policy.out

    @property
    def devices(self) -> Sequence[int]:
        """Return the table rows of its devices."""
        return [unit.device for unit in self._units]

    async def open(self) -> None:
        """Connect, and make every request due now. Raises NotConnected with the reason."""
        await self._link.open(_CONNECT_TIMEOUTS * max(unit.timeout_s for unit in self._units))
        self._policy.on_connected()
        now_ns = self._now_ns()
        self._return_delays = full_jitter(_RETURN_FIRST_S, _RETURN_MOST_S)
        self._return_ns = now_ns + round(next(self._return_delays) * _NS)

    async def read(self) -> Reading:
        """Return the next samples (one block per request or part of one) or state of a unit. Raises NotConnected."""
        while not self._out:
            if self._policy.lost:
                if not self._line.flush():
                    raise NotConnected(self._policy.lost)
                continue
            if self._link.active:
                self._check_first_address()
            try:
                await (self._step() if self._most == 1 else self._step_many())
            except NotConnected as error:
                if not self._line.flush():
                    raise
                self._policy.lost = str(error)
            self._policy.on_line(self._link.unasked, self._link.advice)
        return self._out.popleft()

    def stats(self) -> dict[int, dict[str, float | str]]:
        """Return the counters of each unit and its connection, see `Source.stats`."""
        shared = self._counters.stats() | {
            "connection_address": self._endpoints[self._link.active].address,
            "connection_unasked_replies": self._link.unasked,
        }
        return {unit.device: unit.stats() | shared for unit in self._units}

    async def close(self) -> None:
        """Close the connection; what was learned about failing tags is kept. Never raises."""
        self._link.close()
        tasks = [*self._in_flight, *([self._returning] if self._returning else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._in_flight.clear()
        self._returning = None

    def _now_ns(self) -> int:
        return round(self._clock.monotonic() * _NS)

    def _check_first_address(self) -> None:
        """Try now and then, beside the polling of a backup, whether the first address answers again."""
        if self._returning is not None and self._returning.done():
            self._returning.result()
            self._returning = None
        now_ns = self._now_ns()
        if self._returning is None and now_ns >= self._return_ns:
            self._return_ns = now_ns + round(next(self._return_delays) * _NS)
            self._returning = asyncio.create_task(self._link.try_first(), name=f"modbus {self._url} first address")

    async def _step(self) -> None:
        """Serve the request that is due, or wait for it."""
        now_ns = self._now_ns()
        poll = self._schedule.current(now_ns)
        if poll is None:
            await self._idle(now_ns)
        elif not self._policy.skips(poll, now_ns):
            await self._serve(poll)

    async def _step_many(self) -> None:
        """Send what is due, as much as may be in flight, and wait for the next reply or the next turn."""
        now_ns = self._now_ns()
        most = 1 if self._policy.is_careful and not self._link.has_served else self._most
        while len(self._in_flight) < most and (poll := self._schedule.current(now_ns)) is not None:
            if not self._policy.skips(poll, now_ns):
                self._schedule.remove(poll)
                self._in_flight.add(asyncio.create_task(self._serve(poll), name=f"modbus {self._url}"))
        if self._out:
            return
        if not self._in_flight:
            await self._idle(now_ns)
            return
        full = len(self._in_flight) >= most
        longest_ns = self._line.wait_ns(now_ns, _CHECK_NS)
        wait_s = None if full else self._schedule.wait_ns(now_ns, longest_ns) / _NS
        done, self._in_flight = await asyncio.wait(self._in_flight, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
        for error in [task.exception() for task in done]:  # each is asked for, one is enough
            if error is not None:
                raise error

    async def _idle(self, now_ns: int) -> None:
        # loops count in milliseconds: a shorter wait would end early and be begun again
        wait_ms = -(-self._schedule.wait_ns(now_ns, self._line.wait_ns(now_ns, _CHECK_NS)) // 1_000_000)
        await self._clock.sleep(wait_ms / 1e3)
        await self._link.check_idle()

    async def _serve(self, poll: Poll) -> None:
        unit, request, counters = poll.unit, poll.request, poll.unit.counters
        counters.requests += 1
        if unit.is_down:
            unit.breaker = Breaker.HALF_OPEN
        began_s, bad_frames = self._clock.monotonic(), self._link.bad_frames
        try:
            wanted = unit.config.unit, request.table, request.start, request.count, unit.timeout_s, request.octets
            payload = await self._link.read(*wanted)
        except NoReply as error:
            counters.timeouts += 1
            self._policy.on_no_reply(poll, Quality.BAD_TIMEOUT, str(error), is_silent=True)
        except BadReply as error:
            counters.bad_replies += 1
            self._policy.on_bad_reply(poll, error)
        except HungUp as error:
            self._policy.on_connection_closed(poll, str(error))
            raise
        except ExceptionReply as error:
            counters.record_exception(error.code)
            counters.record_reply(self._clock.monotonic() - began_s)
            self._policy.on_exception(poll, error)
        else:
            counters.record_reply(self._clock.monotonic() - began_s)
            self._policy.on_reply(poll, payload, self._link.arrival)
        finally:
            counters.bad_replies += self._link.bad_frames - bad_frames
            if unit.breaker is Breaker.HALF_OPEN:
                unit.breaker = Breaker.OPEN
            self._counters.requests += 1
            took_s = self._clock.monotonic() - began_s
            self._counters.busy_s += took_s
            spans.report_slow("poll", took_s, device=unit.config.name, place=poll.place)
        if unit.has_news or unit.down_reason:
            self._policy.report_state(unit)
