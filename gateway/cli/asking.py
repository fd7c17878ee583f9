"""Asking a Modbus device by hand: at its address and, where nobody answers there, at its backup, as the gateway does."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.cli.output import address_hint
from gateway.core.errors import GatewayError, NotConnected
from gateway.core.ports.plugin import DeviceEntry, Plugin
from gateway.settings import load
from gateway.sources.modbus.client import ModbusLink
from gateway.sources.modbus.endpoint import Endpoint
from gateway.sources.modbus.link import NoReply
from gateway.sources.modbus.types import Table


@dataclass(frozen=True, slots=True)
class Place:
    """What to read: `count` registers or bits of a unit's table."""

    unit: int
    table: Table
    start: int
    count: int
    timeout_s: float


@dataclass(frozen=True, slots=True)
class Answers:
    """The payload of each place, or why there is none, and who gave them. before: what became of the addresses before."""

    endpoint: Endpoint
    payloads: Sequence[bytes | GatewayError]
    before: Sequence[str]


async def ask(endpoints: Sequence[Endpoint], places: Sequence[Place], *, keep_going: bool = False) -> Answers:
    """All places on one connection, to the first address at which anybody answers. keep_going: a place that fails costs
    itself alone. Raises GatewayError: what became of the only address, or of all."""
    before: list[str] = []
    for endpoint in endpoints:
        try:
            payloads = await _ask(endpoint, places, keep_going)
        except (NotConnected, NoReply) as error:
            if len(endpoints) == 1:
                raise
            before.append(left(endpoint, error))
            continue
        if endpoint is endpoints[-1] or not all(isinstance(payload, NoReply) for payload in payloads):
            return Answers(endpoint, payloads, before)
        before.append(left(endpoint, NoReply("no unit answers")))
    raise NotConnected("; ".join(before))


def left(endpoint: Endpoint, error: GatewayError) -> str:
    """Why an address is not used."""
    name = endpoint.path or f"{endpoint.host}:{endpoint.port}"
    return f"{endpoint.address}: {str(error).removeprefix(f'{name}: ')}"


def device(folder: Path, name: str, scheme: str) -> tuple[Plugin, DeviceEntry]:
    """A configured device that is enabled. Raises ConfigError, ValueError when none is called so. scheme: of an address that
    may have been meant."""
    settings = load(folder)
    devices = {entry.config.name: (plugin, entry) for plugin, entry in zip(settings.plugins, settings.entries, strict=True)}
    if name not in devices:
        raise ValueError(
            f"no device is called {name!r}; there are: {', '.join(devices) or 'none'}{address_hint(name, scheme)}"
        )
    return devices[name]


async def _ask(endpoint: Endpoint, places: Sequence[Place], keep_going: bool) -> list[bytes | GatewayError]:
    link = ModbusLink(endpoint)
    await link.open(max(3 * places[0].timeout_s, 3.0))
    payloads: list[bytes | GatewayError] = []
    try:
        for place in places:
            try:
                payloads.append(await link.read(place.unit, place.table, place.start, place.count, place.timeout_s))
            except GatewayError as error:
                if not (keep_going and link.connected):
                    raise
                payloads.append(error)
    finally:
        link.close()
    return payloads
