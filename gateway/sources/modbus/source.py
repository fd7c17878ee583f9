"""The Modbus source: one connection, its units, their requests in turn."""

import asyncio
from collections.abc import Callable, Sequence

from gateway.core.backoff import full_jitter
from gateway.core.clock import Clock
from gateway.core.errors import NotConnected
from gateway.core.ports.plugin import DeviceEntry
from gateway.core.ports.source import Reading
from gateway.core.quality import Quality
from gateway.sources.modbus.client import ModbusLink
from gateway.sources.modbus.counters import ConnectionCounters
from gateway.sources.modbus.endpoint import Endpoint
from gateway.sources.modbus.failover_link import Line
from gateway.sources.modbus.link import BadReply, ExceptionReply, HungUp, Link, NoReply
from gateway.sources.modbus.request_policy import Outcomes
from gateway.sources.modbus.unit import Poll, Unit

_NS = 1_000_000_000
_LOOK_NS = _NS  # an idle connection is looked at this often
_RETURN_FIRST_S, _RETURN_MOST_S = 60.0, 600.0  # on a backup, pauses between looks at the first address
_CONNECT_TIMEOUTS = 3  # room for one lost SYN, which is sent again after a second


class ModbusSource:
    """One connection or bus serving all units on it (contract: `ports.Source`).

    Requests go out in turn, strictly one after the other unless `max_in_flight` allows more. What their answers mean is
    decided in `Outcomes`. Only a lost connection, or silence of all units, is NotConnected.
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
        is_stream = not endpoint.is_serial and endpoint.scheme != "udp"
        self._outcomes = Outcomes(self._units, clock, endpoint.url, is_stream=is_stream)
        self._schedule, self._out = self._outcomes.schedule, self._outcomes.out

    @property
    def devices(self) -> Sequence[int]:
        """Table rows of its devices."""
        return [unit.device for unit in self._units]

    async def open(self) -> None:
        """Connect, and make every request due now. Raises NotConnected with the reason."""
        await self._line.open(_CONNECT_TIMEOUTS * max(unit.timeout_s for unit in self._units))
        self._outcomes.restart()
        now_ns = self._now_ns()
        self._return_delays = full_jitter(_RETURN_FIRST_S, _RETURN_MOST_S)
        self._return_ns = now_ns + round(next(self._return_delays) * _NS)

    async def read(self) -> Reading:
        """The next samples (one block per request or part of one) or news of a unit. Raises NotConnected."""
        while not self._out:
            if self._outcomes.lost:
                raise NotConnected(self._outcomes.lost)
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
        elif not self._outcomes.is_left_alone(poll, now_ns):
            await self._serve(poll)

    async def _step_many(self) -> None:
        """Send what is due, as much as may be in flight, and wait for the next reply or the next turn."""
        now_ns = self._now_ns()
        most = 1 if self._outcomes.is_careful and not self._line.has_served else self._most
        while len(self._flights) < most and (poll := self._schedule.current(now_ns)) is not None:
            if not self._outcomes.is_left_alone(poll, now_ns):
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

    async def _serve(self, poll: Poll) -> None:
        unit, request, counters = poll.unit, poll.request, poll.unit.counters
        counters.requests += 1
        unit.asking = bool(unit.down)
        began_s = self._clock.monotonic()
        try:
            payload = await self._line.read(unit.config.unit, request.table, request.start, request.count, unit.timeout_s)
        except NoReply as error:
            counters.timeouts += 1
            self._outcomes.unanswered(poll, Quality.BAD_TIMEOUT, str(error), silent=True)
        except BadReply as error:
            counters.bad_replies += 1
            self._outcomes.mistaken(poll, error)
        except HungUp as error:
            self._outcomes.hung_up(poll, str(error))
            raise
        except ExceptionReply as error:
            counters.exception(error.code)
            counters.replied(self._clock.monotonic() - began_s)
            self._outcomes.refused(poll, error)
        else:
            counters.replied(self._clock.monotonic() - began_s)
            self._outcomes.answered(poll, payload, self._clock.now_ns())
        finally:
            unit.asking = False
            self._counters.requests += 1
            self._counters.busy_s += self._clock.monotonic() - began_s
        if unit.changed or unit.down:
            self._outcomes.tell(unit)
