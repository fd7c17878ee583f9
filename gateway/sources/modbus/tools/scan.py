"""Finding units that answer and addresses that can be read, one polite request after another."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field

from gateway.core.clock import Clock, SystemClock
from gateway.core.errors import NotConnected, Retryable, UsageError
from gateway.core.ports.device_tools import Options, Progress
from gateway.core.report import Item, Note, Report, Styled
from gateway.sources.modbus.client import ModbusLink
from gateway.sources.modbus.config import ModbusDevice
from gateway.sources.modbus.endpoint import Endpoint, parse
from gateway.sources.modbus.link import BadReply, ExceptionReply, Link, NoReply
from gateway.sources.modbus.tools.identification import identify
from gateway.sources.modbus.tools.request import connect_timeout_s
from gateway.sources.modbus.types import Table

_BEHIND_GATEWAY = (10, 11)
_ILLEGAL_FUNCTION = 1
_BLOCK = 64
_MOST_ODDITIES = 5
_LAST_UNIT = 247  # MODBUS over Serial Line 1.02, 2.2: 248 to 255 are reserved
_TABLES: tuple[Table, ...] = ("holding", "input", "coil", "discrete")

Ranges = dict[Table, list[tuple[int, int]]]
"""First and last address of each range that can be read, in ascending order."""


@dataclass(frozen=True, slots=True)
class Prober:
    """Requests to a connection that is scanned. A request is never repeated."""

    link: Link
    clock: Clock
    pause_s: float
    """Before every request."""
    timeout_s: float
    """For each reply."""
    oddities: list[str] = field(default_factory=list)
    """What came that was no reply, by unit, for people."""

    async def _read(self, unit: int, table: Table, start: int, count: int) -> None:
        await self.clock.sleep(self.pause_s)
        await self.link.read(unit, table, start, count, self.timeout_s)

    async def answers(self, unit: int) -> bool:
        """Return whether the unit replies at all: values, or an exception that is its own.

        A connection that ends is opened again. Raises NotConnected where that fails.
        """
        try:
            await self._read(unit, "holding", 0, 1)
        except ExceptionReply as error:
            return error.code not in _BEHIND_GATEWAY
        except NoReply as error:
            if "but " in str(error):
                self.oddities.append(f"unit {unit}: {error}")
            return False
        except BadReply as error:
            self.oddities.append(f"unit {unit}: {error}")
            return True
        except NotConnected as error:
            self.oddities.append(f"unit {unit}: {error}")
            await self.link.open(connect_timeout_s(self.timeout_s))
            return False
        return True

    async def ranges(self, unit: int, table: Table, last: int) -> AsyncIterator[tuple[int, int, bool]]:
        """Yield (first, last, readable) for pieces of 0..last in order; end early when the unit does not know the table.

        A block that is refused is halved down to single addresses. Raises NotConnected.
        """
        stack = [(first, min(first + _BLOCK, last + 1)) for first in range(0, last + 1, _BLOCK)][::-1]
        while stack:
            first, end = stack.pop()
            try:
                await self._read(unit, table, first, end - first)
            except Retryable as error:
                if isinstance(error, ExceptionReply) and error.code == _ILLEGAL_FUNCTION:
                    return
                if end - first > 1 and isinstance(error, ExceptionReply):
                    middle = (first + end) // 2
                    stack += [(middle, end), (first, middle)]
                else:
                    yield first, end - 1, False
            else:
                yield first, end - 1, True


def joined(found: list[tuple[int, int]], first: int, last: int) -> None:
    """Add a range to ascending ones; neighbours become one."""
    if found and found[-1][1] == first - 1:
        found[-1] = found[-1][0], last
    else:
        found.append((first, last))


class ModbusScan:
    """A scan of a URL or a configured device, whose backup is scanned where nobody answers at its url."""

    def __init__(self, where: str | ModbusDevice, options: Options) -> None:
        """Take over the options of `gateway scan`. Raises UsageError."""
        if isinstance(where, ModbusDevice):
            self._endpoints, (first, last) = where.endpoints, (where.unit, where.unit)
        else:
            self._endpoints, (first, last) = [_endpoint(where)], (1, _LAST_UNIT)
        self._units = _units(self._endpoints[0], options["first"] or first, options["last"] or last)
        self._last_address: int = options["until"]
        self._pause_s: float = 1 / options["per_second"]
        self._timeout_s: float = options["timeout"]
        self._url = self._endpoints[0].url
        self._found: dict[int, Ranges] = {}
        self._has_oddities = False
        self._names: dict[int, str] = {}
        self.position = f"unit {self._units[0]}"

    @property
    def introduction(self) -> str:
        """Return which units are scanned, and how long that takes at most."""
        longest_s = len(self._units) * max(self._pause_s, self._timeout_s)
        return f"units {self._units[0]} to {self._units[-1]}: up to {longest_s:.0f} s, then the ranges of each"

    async def run(self, progress: Progress) -> None:
        """Scan the first address at which a unit answers."""
        for endpoint in self._endpoints:
            self._url = endpoint.url
            if endpoint is not self._endpoints[0]:
                progress.show(Note(f"asking the backup {endpoint.address}"))
            try:
                await self._scan(endpoint, progress)
            except NotConnected as error:
                progress.show(Note(Styled(str(error), "bad")))
            else:
                if not self._found:
                    at = f" at {endpoint.address}" if len(self._endpoints) > 1 else ""
                    progress.show(f"no unit answered{at}" + (" as Modbus says" if self._has_oddities else ""))
            if self._found:
                return

    @property
    def found(self) -> Mapping[int, Mapping[Table, Sequence[tuple[int, int]]]]:
        """Return the readable ranges by unit and table, found so far."""
        return self._found

    def report(self) -> Report:
        """Return the ranges of each unit found so far, and a command that reads the first of them."""
        items: list[Item] = []
        for unit, tables in self._found.items():
            name = f": {self._names[unit]}" if unit in self._names else ""
            items.append((Styled(f"unit {unit}", "strong"), f" answers{name}"))
            for table, ranges in tables.items():
                text = ", ".join(f"{first}..{end}" if first != end else str(first) for first, end in ranges)
                items.append(f"  {table}: {text or 'nothing'}")
        some = (
            (unit, table, ranges[0]) for unit, tables in self._found.items() for table, ranges in tables.items() if ranges
        )
        if example := next(some, None):
            unit, table, (first, end) = example
            places = f"--unit {unit} --address {table}:{first} --count {min(4, end - first + 1)}"
            items.append(Note(f"next: gateway read {self._url} {places}"))
        return Report(items, is_complete=bool(self._found))

    async def _scan(self, endpoint: Endpoint, progress: Progress) -> None:
        link = ModbusLink(endpoint)
        await link.open(connect_timeout_s(self._timeout_s))
        prober = Prober(link, SystemClock(), self._pause_s, self._timeout_s)
        try:
            for done, unit in enumerate(self._units):
                self.position = f"unit {unit}"
                progress.update("units", done, len(self._units))
                if await prober.answers(unit):
                    self._found[unit] = {}
                    progress.show(Note(f"unit {unit} answers"))
            for oddity in prober.oddities[:_MOST_ODDITIES]:
                progress.show(Note(Styled(oddity, "warning")))
            self._has_oddities = bool(prober.oddities)
            for unit, tables in self._found.items():
                await self._find_ranges(prober, unit, tables, progress)
            for unit in self._found:  # last: some devices answer nothing after a function that they do not know
                if name := await identify(link, unit, self._timeout_s):
                    self._names[unit] = name
                elif not link.connected:
                    break
        finally:
            link.close()

    async def _find_ranges(self, prober: Prober, unit: int, tables: Ranges, progress: Progress) -> None:
        for table in _TABLES:
            tables[table], self.position = [], f"unit {unit}, {table}"
            progress.update(self.position, 0, self._last_address + 1)
            async for first, end, readable in prober.ranges(unit, table, self._last_address):
                if readable:
                    joined(tables[table], first, end)
                progress.update(self.position, end + 1, self._last_address + 1)


def _endpoint(url: str) -> Endpoint:
    try:
        return parse(url)
    except ValueError as error:
        raise UsageError(str(error)) from None


def _units(endpoint: Endpoint, first: int, last: int) -> Sequence[int]:
    if first > last:
        raise UsageError(f"--first {first} is after --last {last}; expected a first unit up to the last")
    if endpoint.is_bus and last > _LAST_UNIT:
        raise UsageError(f"--last {last} is no unit on a bus; expected up to {_LAST_UNIT}")
    return range(first, last + 1)
