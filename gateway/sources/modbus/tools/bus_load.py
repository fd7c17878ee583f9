"""What a plan asks of a connection: requests a second, time on the line. Pure estimates, for `gateway plan`."""

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.core.plural import counted
from gateway.core.ports.plugin import DeviceEntry
from gateway.core.report import Item, Report, Styled, Table
from gateway.sources.modbus.config import ModbusDevice
from gateway.sources.modbus.endpoint import Endpoint
from gateway.sources.modbus.plan import Request, plan_device
from gateway.sources.modbus.types import is_bits

TOO_MUCH = 0.7
"""Above this share of its time a connection has no room for timeouts and retries."""


@dataclass(frozen=True, slots=True)
class Planned:
    """One request of one device."""

    device: ModbusDevice
    request: Request
    interval_ns: int
    busy_s: float
    """How long the connection is occupied by it."""

    @property
    def per_s(self) -> float:
        """Return how often it is sent."""
        return 1e9 / self.interval_ns

    @property
    def fill(self) -> float:
        """Return the share of what it reads that some tag needs."""
        return self.request.wanted / self.request.count


@dataclass(frozen=True, slots=True)
class ConnectionLoad:
    """All requests of one connection."""

    endpoint: Endpoint
    requests: tuple[Planned, ...]
    pauses_s: float
    """Silence between units, seconds in each second."""
    in_flight: int

    @property
    def per_s(self) -> float:
        """Return the requests a second."""
        return sum(planned.per_s for planned in self.requests)

    @property
    def share(self) -> float:
        """Return the estimated load, 1 = all of its time."""
        return (sum(planned.per_s * planned.busy_s for planned in self.requests) + self.pauses_s) / self.in_flight


def request_s(endpoint: Endpoint, request: Request, answer_s: float) -> float:
    """Return how long a request and its reply occupy the connection. answer_s: until the reply begins.

    MODBUS over Serial Line 1.02, 2.5.1: 8 bytes out, 5 and the values back in RTU; about twice as many in ASCII.
    """
    if not endpoint.is_serial:
        return endpoint.turnaround_s + answer_s
    size = (request.count + 7) // 8 if is_bits(request.table) else request.octets * request.count
    characters = (17 + 11 + 2 * size) if endpoint.scheme == "ascii" else (8 + 5 + size)
    return characters * endpoint.character_s + endpoint.turnaround_s + answer_s


def connection_loads(entries: Sequence[DeviceEntry], answer_s: float) -> list[ConnectionLoad]:
    """Return one load for each connection, in the order of its first device. answer_s: until a device begins its reply."""
    groups: dict[str, list[DeviceEntry]] = {}
    for entry in entries:
        groups.setdefault(entry.config.url, []).append(entry)
    return [_connection_load(group, answer_s) for group in groups.values()]


def _connection_load(entries: Sequence[DeviceEntry], answer_s: float) -> ConnectionLoad:
    endpoint: Endpoint = entries[0].config.endpoint
    planned = tuple(
        Planned(entry.config, request, interval_ns, request_s(endpoint, request, answer_s))
        for entry in entries
        for interval_ns, request in plan_device(entry.config, entry.tags)
    )
    # a unit's requests of one interval are due together; each such turn begins with a pause if others share the line
    turns = {(one.device.name, one.interval_ns) for one in planned}
    units = {entry.config.unit for entry in entries}
    pauses_s = sum(1e9 / interval for _, interval in turns) * endpoint.unit_pause_s if len(units) > 1 else 0.0
    in_flight = min(entry.config.max_in_flight for entry in entries)
    return ConnectionLoad(endpoint, planned, pauses_s, in_flight)


def plan_report(entries: Sequence[DeviceEntry], answer_s: float) -> Report:
    """Return the requests of each connection and how busy it will be. answer_s: until a device begins its reply."""
    return Report([item for load in connection_loads(entries, answer_s) for item in _load_items(load, answer_s)])


def _load_items(load: ConnectionLoad, answer_s: float) -> list[Item]:
    headings = ("device", "unit", "reads", "places", "tags", "fill", "every", "a second", "busy ms")
    numeric = [heading for heading in headings if heading not in ("device", "reads")]
    rows = [
        (
            planned.device.name,
            str(planned.device.unit),
            f"{planned.request.table} {planned.request.start}..{planned.request.start + planned.request.count - 1}",
            str(planned.request.count),
            str(len(planned.request.spans)),
            f"{planned.fill:.0%}",
            f"{planned.interval_ns / 1e9:g} s",
            f"{planned.per_s:g}",
            f"{planned.busy_s * 1e3:.1f}",
        )
        for planned in load.requests
    ]
    end, is_busy = load.endpoint, load.share > TOO_MUCH
    line = f"{end.baudrate} baud, {end.character_s * 1e3:.2f} ms a character, " if end.is_serial else ""
    share = Styled(f"{load.share:.1%}", "bad" if is_busy else "good")
    begin = f"{counted(len(load.requests), 'request')}, {load.per_s:.4g} a second; busy for "
    total = (begin, share, f" of the time ({line}{answer_s * 1e3:g} ms until a reply begins)")
    advice = (
        f" more than {TOO_MUCH:.0%} leaves no room for timeouts and retries: read less often, "
        "put units on another line, or raise the baud rate"
    )
    warning: list[Item] = [(Styled("warning:", "warning"), advice)] if is_busy else []
    return [Table(headings, rows, numeric=numeric, title=load.endpoint.url), total, *warning, ""]
