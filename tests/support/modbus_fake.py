"""A Modbus link to units that live in dictionaries."""

import struct
from dataclasses import dataclass, field

from gateway.core.errors import NotConnected
from gateway.core.loop_watch import Arrival
from gateway.core.ports.plugin import DeviceEntry
from gateway.sources.modbus.config import ModbusDevice
from gateway.sources.modbus.link import ExceptionReply, NoReply
from gateway.sources.modbus.tag import ModbusTag
from gateway.sources.modbus.types import Table
from tests.support.clock import SkippingClock


@dataclass
class FakeUnit:
    """A unit: registers by address (all tables alike), addresses it refuses with an exception code, those at which it closes
    the connection, silence, busy, and the most places that it gives at once."""

    registers: dict[int, int] = field(default_factory=dict)
    refused: dict[int, int] = field(default_factory=dict)
    mute: set[int] = field(default_factory=set)
    closes: set[int] = field(default_factory=set)
    silent: bool = False
    code: int = 0
    most: int = 2000


@dataclass
class FakeLink:
    """A connection to fake units. Every request is kept in `requests`; a reply takes `latency_s` of the clock.

    late_ns: at most so long before its receipt a reply came, ns; 0 where that is known."""

    clock: SkippingClock
    units: dict[int, FakeUnit]
    latency_s: float = 0.01
    connected: bool = False
    refuse: bool = False
    unasked: int = 0
    doubt_s: float = 0.0
    advice: str = ""
    bad_frames: int = 0
    late_ns: int = 0
    requests: list[tuple[int, Table, int, int]] = field(default_factory=list)

    @property
    def arrival(self) -> Arrival:
        return Arrival(self.clock.now_ns() - self.late_ns, is_known=not self.late_ns)

    async def open(self, timeout_s: float) -> None:
        if self.refuse:
            raise NotConnected("refused")
        self.connected = True

    async def read(self, unit: int, table: Table, start: int, count: int, timeout_s: float) -> bytes:
        if not self.connected:
            raise NotConnected("not open")
        self.requests.append((unit, table, start, count))
        peer = self.units.get(unit)
        places = range(start, start + count)
        if peer is None or peer.silent or not peer.mute.isdisjoint(places):
            await self.clock.sleep(timeout_s)
            raise NoReply(f"no reply within {timeout_s:g} s")
        await self.clock.sleep(self.latency_s)
        if not peer.closes.isdisjoint(places):
            self.connected = False
            raise NotConnected("the connection was lost")
        code = (
            peer.code
            or 3 * (count > peer.most)
            or next((peer.refused[place] for place in places if place in peer.refused), 0)
        )
        if code:
            raise ExceptionReply(code)
        values = [peer.registers.get(place, place) for place in places]
        if table in ("coil", "discrete"):
            bits = sum((value & 1) << place for place, value in enumerate(values))
            return bits.to_bytes((count + 7) // 8, "little")
        return struct.pack(f">{count}H", *values)

    def close(self) -> None:
        self.connected = False


def entry(tags: list[dict[str, object]], number: int = 0, first_tag: int = 0, **device: object) -> DeviceEntry:
    """A device entry as the settings would make it."""
    keys = {"name": f"device{number}", "url": "tcp://127.0.0.1"} | device
    models = [ModbusTag.model_validate({"name": f"t{row}"} | tag) for row, tag in enumerate(tags)]
    return DeviceEntry(number, ModbusDevice.model_validate(keys), models, first_tag)
