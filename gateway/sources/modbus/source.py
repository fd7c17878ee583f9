"""The Modbus source: one connection, its units, their requests in turn."""

from collections import deque
from collections.abc import Callable, Sequence

import numpy as np

from gateway.core.backoff import full_jitter
from gateway.core.blocks import SampleBlock
from gateway.core.clock import Clock
from gateway.core.errors import NotConnected
from gateway.core.ports import Reading
from gateway.core.quality import Quality
from gateway.core.sourcekind import DeviceEntry
from gateway.sources.modbus.client import TcpLink
from gateway.sources.modbus.link import EXCEPTIONS, BadReply, ExceptionReply, Link, NoReply
from gateway.sources.modbus.schedule import Schedule
from gateway.sources.modbus.unit import Fault, Poll, Unit

_NS = 1_000_000_000
_RETRY_NS = 60 * _NS
_LOOK_NS = _NS  # an idle connection is looked at this often
_TIMEOUTS_TO_DOWN = 2
_CONNECT_TIMEOUTS = 3  # room for one lost SYN, which is sent again after a second

_BUSY = (5, 6)
_ADDRESS = (1, 2, 3)
_ILLEGAL_FUNCTION = 1
_BEHIND_GATEWAY = (10, 11)


class ModbusSource:
    """One Modbus TCP connection serving all units behind it (contract: `ports.Source`).

    Requests go out strictly in turn. A refused request is halved until the refused tag is alone; that tag is then tried
    once a minute. A unit that twice does not answer is down and is probed with backoff; the others go on. Only a lost
    connection, or silence of every unit, ends in NotConnected.
    """

    def __init__(self, entries: Sequence[DeviceEntry], clock: Clock, link: Callable[[str, int], Link] = TcpLink) -> None:
        """entries: devices with one `url`. link: makes the connection from host and port."""
        self._units = [Unit(entry) for entry in entries]
        self._clock = clock
        config = self._units[0].config
        self._url = config.url
        self._link = link(config.host, config.port)
        self._schedule: Schedule[Poll] = Schedule()
        self._out: deque[Reading] = deque()
        self._lost = ""
        self.missed_polls = 0
        """Turns that were skipped because their time was over before they could be served."""

    @property
    def devices(self) -> Sequence[int]:
        """Table rows of its devices."""
        return [unit.device for unit in self._units]

    async def open(self) -> None:
        """Connect, and make every request due now. Raises NotConnected with the reason."""
        await self._link.open(_CONNECT_TIMEOUTS * max(unit.timeout_s for unit in self._units))
        self._out.clear()
        self._lost = ""
        for unit in self._units:
            unit.reset()
        self._schedule.restart((poll for unit in self._units for poll in unit.polls), self._now_ns())

    async def read(self) -> Reading:
        """The next samples (one block per request or part of one) or news of a unit. Raises NotConnected."""
        while not self._out:
            if self._lost:
                raise NotConnected(self._lost)
            await self._step()
        return self._out.popleft()

    def stats(self) -> dict[int, dict[str, float | str]]:
        """See `Source.stats`. The connection's numbers stand with each of its devices."""
        return {unit.device: {"missed_polls": self.missed_polls} for unit in self._units}

    async def close(self) -> None:
        """Let go of the connection; what was learned about failing tags is kept. Never raises."""
        self._link.close()

    def _now_ns(self) -> int:
        return round(self._clock.monotonic() * _NS)

    async def _step(self) -> None:
        """Serve the request that is due, or wait for it."""
        now_ns = self._now_ns()
        poll = self._schedule.current(now_ns)
        if poll is None:
            await self._clock.sleep(self._schedule.wait_ns(now_ns, _LOOK_NS) / _NS)
            if not self._link.connected:
                raise NotConnected(f"{self._url}: the connection was lost")
        elif poll.fault is not None and now_ns < poll.retry_ns and not poll.unit.down:
            self._give_up(poll, poll.fault.quality)
        else:
            await self._serve(poll)
            self._tell(poll.unit)

    async def _serve(self, poll: Poll) -> None:
        unit, request = poll.unit, poll.request
        try:
            payload = await self._link.read(unit.config.unit, request.table, request.start, request.count, unit.timeout_s)
        except NoReply as error:
            self._unanswered(poll, Quality.BAD_TIMEOUT, str(error), silent=True)
        except BadReply:
            self._alive(unit)
            self._give_up(poll, Quality.BAD_COMM_FAILURE)
        except ExceptionReply as error:
            if error.code in _BEHIND_GATEWAY:
                self._unanswered(poll, Quality.BAD_NOT_CONNECTED, str(error), silent=False)
            else:
                self._alive(unit)
                self._refused(poll, error.code)
        else:
            self._answered(poll, payload, self._clock.now_ns())

    def _answered(self, poll: Poll, payload: bytes, time_ns: int) -> None:
        self._alive(poll.unit)
        poll.succeeded()
        self._tell(poll.unit, answered=True)
        value, quality = poll.decode(payload)
        self._out.append(SampleBlock(poll.tags, np.full(value.size, time_ns, np.int64), value, quality))
        self._advance(poll)

    def _refused(self, poll: Poll, code: int) -> None:
        """An exception reply: MODBUS Application Protocol 1.1b3, section 7."""
        quality = Quality.BAD_ADDRESS if code in _ADDRESS else Quality.BAD_DEVICE_FAILURE
        if code in _BUSY:
            self._give_up(poll, Quality.BAD_COMM_FAILURE)
            return
        poll.failures += 1
        if (
            code not in _ADDRESS and poll.failures == 1
        ):  # a failure of the device may pass; only a lasting one is looked into
            self._give_up(poll, quality)
            return
        if len(poll.request.spans) > 1 and code != _ILLEGAL_FUNCTION:
            self._schedule.replace(poll, poll.unit.split(poll))
            return
        poll.condemn(Fault(quality, EXCEPTIONS.get(code, f"exception {code}")), self._now_ns() + _RETRY_NS)
        self._give_up(poll, quality)
        if joined := poll.unit.join(poll):
            parts, whole = joined
            self._schedule.replace(poll, [whole])
            for part in parts:
                self._schedule.remove(part)

    def _unanswered(self, poll: Poll, quality: Quality, reason: str, *, silent: bool) -> None:
        """The unit did not answer; its other requests of this cycle are not worth another timeout each."""
        unit = poll.unit
        unit.timeouts += 1
        poll.failures += 1
        now_ns = self._now_ns()
        self._give_up(poll, quality, catch_up=False)
        if unit.down or unit.timeouts >= _TIMEOUTS_TO_DOWN:
            self._spare_cycle(unit, quality, now_ns)
            self._take_down(unit, reason, silent=silent)
        elif poll.failures > 1:  # others are answered in between: it is this request that the unit is silent on
            poll.condemn(Fault(quality, reason), now_ns + round(next(poll.retries) * _NS))
        else:
            self._spare_cycle(unit, quality, now_ns)

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
        unit.timeouts = 0
        if unit.down:
            unit.down = ""
            unit.probe_delays = full_jitter()
            unit.changed = True
            now_ns = self._now_ns()
            for poll in unit.polls:
                self._schedule.hurry(poll, now_ns)

    def _give_up(self, poll: Poll, quality: Quality, *, catch_up: bool = True) -> None:
        """This turn gives samples without values."""
        poll.suspect = False
        self._out.append(SampleBlock.bad(poll.tags, self._clock.now_ns(), quality))
        self._advance(poll, catch_up=catch_up)

    def _advance(self, poll: Poll, *, catch_up: bool = True) -> None:
        missed = self._schedule.advance(poll, self._now_ns(), catch_up=catch_up)
        if not poll.unit.down:  # a unit that is down has no turns to miss
            self.missed_polls += missed

    def _tell(self, unit: Unit, *, answered: bool = False) -> None:
        state = None if self._lost else unit.news(answered=answered)
        if state is not None:
            self._out.append(state)
