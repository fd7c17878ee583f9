"""Serial lines over pseudo-terminals: two makes of servers, dead units, late and damaged replies, pauses, echo."""

import asyncio
import struct
import time
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import pytest
from pymodbus.framer import FramerType

from gateway.core.blocks import SampleBlock
from gateway.core.errors import NotConnected
from gateway.core.messages import DeviceState
from gateway.core.ports.source import Source
from gateway.core.quality import Quality
from gateway.sources.modbus.client import ModbusLink
from gateway.sources.modbus.endpoint import parse
from gateway.sources.modbus.link import BadReply, ExceptionReply, NoReply
from gateway.sources.modbus.plugin import ModbusPlugin
from tests.support.absent import absent
from tests.support.modbus_bus import Bus, compiled
from tests.support.modbus_fake import entry
from tests.support.watermarks_fake import services
from tests.unit.sources.modbus.test_framing import crc, frame


@pytest.fixture(scope="session")
def libmodbus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    binary = compiled(tmp_path_factory.mktemp("libmodbus"))
    if binary is None:
        absent("a C compiler and libmodbus-dev (make test installs them where it can)")
    return binary


@pytest.fixture
async def bus() -> AsyncIterator[Bus]:
    async with Bus() as running:
        yield running


async def opened(bus: Bus, options: str = "", scheme: str = "rtu") -> ModbusLink:
    link = ModbusLink(parse(f"{scheme}://{bus.path}?parity=N&stopbits=1{options}"))
    await link.open(2.0)
    return link


def registers(payload: bytes) -> list[int]:
    return list(struct.unpack(f">{len(payload) // 2}H", payload))


def reply(unit: int, *values: int) -> bytes:
    return frame("rtu", unit, struct.pack(f">BB{len(values)}H", 3, 2 * len(values), *values))


@pytest.mark.parametrize(("scheme", "framer"), [("rtu", FramerType.RTU), ("ascii", FramerType.ASCII)])
async def test_pymodbus_on_a_serial_line(bus: Bus, scheme: str, framer: FramerType) -> None:
    await bus.add_pymodbus(3, framer)
    link = await opened(bus, "&bytesize=8", scheme)
    assert registers(await link.read(3, "holding", 10, 125, 5.0)) == list(range(3010, 3135))
    assert await link.read(3, "coil", 1, 9, 5.0) == b"\x55\x01"
    with pytest.raises(ExceptionReply, match="exception 2"):
        await link.read(3, "input", 2000, 1, 5.0)
    assert registers(await link.read(3, "input", 999, 1, 5.0)) == [3999]
    link.close()


async def test_libmodbus_on_a_serial_line(bus: Bus, libmodbus: Path) -> None:
    await bus.add_libmodbus(9, libmodbus)
    link = await opened(bus)
    assert registers(await link.read(9, "holding", 0, 125, 5.0)) == list(range(9000, 9125))
    assert await link.read(9, "discrete", 0, 16, 5.0) == b"\xaa\xaa"
    with pytest.raises(ExceptionReply, match="exception 2"):
        await link.read(9, "holding", 1000, 1, 5.0)
    link.close()


async def run_for(source: Source, seconds: float) -> list[object]:
    """What it says within that time."""
    told: list[object] = []
    try:
        async with asyncio.timeout(seconds):
            while True:
                told.append(await source.read())
    except TimeoutError:
        return told


async def test_two_makes_share_a_bus_with_a_dead_unit_that_costs_only_probes(bus: Bus, libmodbus: Path) -> None:
    await bus.add_pymodbus(1)
    await bus.add_libmodbus(2, libmodbus)
    url = f"rtu://{bus.path}?parity=N&stopbits=1"
    tags: list[dict[str, object]] = [{"address": "holding:5"}, {"address": "input:7"}]
    units = [
        entry(tags, number=n, first_tag=2 * n, unit=n + 1, url=url, interval="200ms", timeout="300ms") for n in range(3)
    ]
    (source,) = ModbusPlugin().build(units, services())
    await source.open()
    told = await run_for(source, 6.0)
    await source.close()
    assert [state.device for state in told if isinstance(state, DeviceState) and state.state == "down"] == [2]
    values = {
        int(tag): value
        for block in told
        if isinstance(block, SampleBlock)
        for tag, value, quality in zip(block.tag, block.value, block.quality, strict=True)
        if quality == Quality.GOOD
    }
    assert values == {0: 1005, 1: 1007, 2: 2005, 3: 2007}
    stats = source.stats()
    assert stats[2]["breaker"] in ("open", "half_open")
    asked, unanswered = int(stats[2]["requests"]), int(stats[2]["timeouts"])
    assert asked - unanswered in (0, 1)  # a probe may be under way
    assert unanswered <= 10
    assert stats[0]["timeouts"] == stats[1]["timeouts"] == 0
    assert min(int(stats[0]["requests"]), int(stats[1]["requests"])) > 10


async def test_units_are_addressed_with_a_pause_and_one_unit_without(bus: Bus) -> None:
    bus.script = lambda request: bus.say(reply(request[0], 7))
    link = await opened(bus, "&unit_pause=60ms&turnaround=10ms")
    for unit in (1, 1, 2, 2, 1):
        assert registers(await link.read(unit, "holding", 0, 1, 5.0)) == [7]
    pauses = [after - before for (before, _), (after, _) in pairwise(bus.heard)]
    assert all(pause >= 0.0095 for pause in pauses)
    assert pauses[1] >= 0.0595
    assert pauses[3] >= 0.0595
    link.close()


async def test_a_late_reply_never_lands_on_the_next_request(bus: Bus) -> None:
    """It comes after the timeout, cut in two, while the line is listened to."""
    link = await opened(bus)
    with pytest.raises(NoReply):
        await link.read(1, "holding", 0, 1, 0.05)
    late, loop = reply(1, 111), asyncio.get_running_loop()
    bus.say(late[:3])
    loop.call_later(0.01, bus.say, late[3:])
    bus.script = lambda request: bus.say(reply(1, 222))
    await asyncio.sleep(0)
    assert registers(await link.read(1, "holding", 1, 1, 5.0)) == [222]
    link.close()


FOREIGN = {
    "another unit": lambda: reply(2, 9),
    "another function": lambda: frame("rtu", 1, b"\x04\x02\x00\x09"),
    "wrong checksum": lambda: reply(1, 9)[:-1] + b"\0",
    "cut": lambda: reply(1, 9)[:-1],
    "noise": lambda: bytes(range(256)),
    "one byte": lambda: b"\1",
}


@pytest.mark.parametrize("what", FOREIGN)
async def test_what_is_no_reply_is_a_timeout_and_the_next_read_is_right(bus: Bus, what: str) -> None:
    link = await opened(bus)
    bus.script = lambda request: bus.say(FOREIGN[what]())
    with pytest.raises(NoReply):
        await link.read(1, "holding", 0, 1, 0.1)
    bus.script = lambda request: bus.say(reply(1, 5))
    assert registers(await link.read(1, "holding", 0, 1, 5.0)) == [5]
    bus.script = lambda request: bus.say(FOREIGN[what]() + reply(1, 6))
    assert registers(await link.read(1, "holding", 0, 1, 5.0)) == [6]
    link.close()


async def test_a_reply_of_another_length_is_bad_at_once(bus: Bus) -> None:
    link = await opened(bus)
    bus.script = lambda request: bus.say(reply(1, 5, 6))
    with pytest.raises(BadReply, match="4 bytes of values, expected 2"):
        await link.read(1, "holding", 0, 1, 30.0)
    link.close()


async def test_an_echo_is_cut_off(libmodbus: Path) -> None:
    async with Bus(echo=True) as bus:
        await bus.add_libmodbus(1, libmodbus)
        link = await opened(bus, "&echo=1")
        for start in (0x300, 0x301):  # the echo of this very request would pass for its reply
            assert await link.read(1, "coil", start, 17, 5.0) == (b"\xaa\xaa\x00" if start & 1 == 0 else b"\x55\x55\x01")
        assert registers(await link.read(1, "holding", 8, 2, 5.0)) == [1008, 1009]
        link.close()


async def test_a_collision_shows_in_the_echo(bus: Bus) -> None:
    link = await opened(bus, "&echo=1")
    bus.script = lambda request: bus.say(bytes((request[0] ^ 4,)) + request[1:])
    with pytest.raises(BadReply, match="the echo is not what was sent"):
        await link.read(1, "holding", 0, 1, 30.0)
    link.close()


async def test_cancelling_a_read_on_a_silent_line_returns_at_once_and_harms_no_other(bus: Bus) -> None:
    link = await opened(bus)
    task = asyncio.create_task(link.read(1, "holding", 0, 1, 3600.0))
    while not bus.heard:
        await asyncio.sleep(0.001)
    began = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.monotonic() - began < 0.5
    bus.script = lambda request: bus.say(reply(1, 3))
    assert registers(await link.read(1, "holding", 0, 1, 5.0)) == [3]
    link.close()


async def test_a_port_that_is_not_there_or_taken_is_not_connected(bus: Bus) -> None:
    with pytest.raises(NotConnected, match="no-such-port"):
        await ModbusLink(parse("rtu:///dev/no-such-port")).open(2.0)
    link = await opened(bus)
    with pytest.raises(NotConnected):
        await opened(bus)
    link.close()
    again = await opened(bus)
    again.close()


def test_the_checksum_of_the_standards_own_example() -> None:
    """MODBUS over Serial Line 1.02, appendix B: the request 02 07 has the checksum 41 12."""
    assert crc(b"\x02\x07") == b"\x41\x12"
