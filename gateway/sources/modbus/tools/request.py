"""Single requests of commands: at a device's address and, where nobody answers there, at its backup, as the gateway does."""

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.core.errors import GatewayError, NotConnected
from gateway.sources.modbus.client import ModbusLink
from gateway.sources.modbus.endpoint import Endpoint
from gateway.sources.modbus.link import NoReply
from gateway.sources.modbus.types import Table

_SHORTEST_CONNECT_S = 3.0


@dataclass(frozen=True, slots=True)
class Place:
    """What to read: `count` registers or bits of a unit's table from `start`."""

    unit: int
    table: Table
    start: int
    count: int
    timeout_s: float
    octets: int = 2
    """Bytes of each register."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What came from the first address that answered."""

    endpoint: Endpoint
    payloads: Sequence[bytes | GatewayError]
    """The payload of each place, or why there is none."""
    unused: Sequence[str]
    """Why the addresses before it were not used."""


def connect_timeout_s(timeout_s: float) -> float:
    """Return how long a connection may take where a reply may take `timeout_s`."""
    return max(3 * timeout_s, _SHORTEST_CONNECT_S)


async def request_places(
    endpoints: Sequence[Endpoint], places: Sequence[Place], *, keep_going: bool = False, most_silent: int = 0
) -> Answers:
    """Read all places over one connection to the first address at which anybody answers.

    keep_going: a place that fails costs only itself, also one at which the connection ends: it is opened again for the next.
    most_silent: after so many places in a row that nobody answers, while nothing was answered before, the others are not
    asked; 0 for no end. Raises GatewayError: why the only address, or all of them, failed.
    """
    unused: list[str] = []
    for endpoint in endpoints:
        try:
            payloads = await _request(endpoint, places, keep_going=keep_going, most_silent=most_silent)
        except (NotConnected, NoReply) as error:
            if len(endpoints) == 1:
                raise
            unused.append(_reason(endpoint, error))
            continue
        if endpoint is endpoints[-1] or not all(isinstance(payload, NoReply) for payload in payloads):
            return Answers(endpoint, payloads, unused)
        unused.append(_reason(endpoint, NoReply("no unit answers")))
    raise NotConnected("; ".join(unused))


def _reason(endpoint: Endpoint, error: GatewayError) -> str:
    name = endpoint.path or f"{endpoint.host}:{endpoint.port}"
    return f"{endpoint.address}: {str(error).removeprefix(f'{name}: ')}"


async def _request(
    endpoint: Endpoint, places: Sequence[Place], *, keep_going: bool, most_silent: int
) -> list[bytes | GatewayError]:
    link = ModbusLink(endpoint)
    await link.open(connect_timeout_s(places[0].timeout_s))
    payloads: list[bytes | GatewayError] = []
    try:
        for place in places:
            if most_silent and len(payloads) >= most_silent and all(isinstance(one, NoReply) for one in payloads):
                payloads.append(NoReply(f"not asked, as {len(payloads)} tags before it were not answered"))
                continue
            try:
                if not link.connected:
                    await link.open(connect_timeout_s(place.timeout_s))
                wanted = place.unit, place.table, place.start, place.count, place.timeout_s, place.octets
                payloads.append(await link.read(*wanted))
            except GatewayError as error:
                if not keep_going:
                    raise
                payloads.append(error)
    finally:
        link.close()
    return payloads
