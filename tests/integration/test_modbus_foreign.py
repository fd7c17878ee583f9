"""Against a server that is not built on pymodbus: npm modbus-serial, run by node."""

import asyncio
import json
import struct
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.core.errors import NotConnected
from gateway.core.messages import DeviceState
from gateway.core.ports.source import Source
from gateway.core.quality import Quality
from gateway.sources.modbus.plugin import ModbusPlugin
from tests.support.modbus_fake import entry
from tests.support.watermarks_fake import services

Image = dict[str, dict[int, int]]
Start = Callable[[Image], subprocess.Popen[str]]

NUMBERS = {
    "bool": ("H", 1), "int16": ("h", -1234), "uint16": ("H", 54321), "int32": ("i", -123_456_789),
    "uint32": ("I", 4_000_000_000), "int64": ("q", -(2**52) - 1), "uint64": ("Q", 2**53 - 1), "float32": ("f", 21.375),
    "float64": ("d", -1.0e-9),
}  # fmt: skip


@pytest.fixture
def start(node: Path, port: int) -> Iterator[Start]:
    """Start the foreign server on `port` with an image of its tables."""
    started: list[subprocess.Popen[str]] = []

    def run(image: Image) -> subprocess.Popen[str]:
        command = ["node", "modbus_server.js", str(port), json.dumps(image)]
        server = subprocess.Popen(command, cwd=node, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(server)
        assert server.stdout is not None
        assert server.stdout.readline().strip() == "ready"
        return server

    yield run
    for server in started:
        server.kill()
        server.communicate()


@asynccontextmanager
async def opened(port: int, tags: list[dict[str, object]], **keys: object) -> AsyncIterator[Source]:
    (source,) = ModbusPlugin().build(
        [entry(tags, url=f"tcp://127.0.0.1:{port}", **({"interval": "50ms"} | keys))], services()
    )
    await source.open()
    try:
        yield source
    finally:
        await source.close()


async def read_all(source: Source, count: int) -> tuple[dict[int, float], dict[int, int], list[DeviceState]]:
    """Values and qualities by tag, once all `count` tags were read, and the states told meanwhile."""
    values: dict[int, float] = {}
    qualities: dict[int, int] = {}
    states = []
    async with asyncio.timeout(20):
        while len(qualities) < count:
            item = await source.read()
            if isinstance(item, DeviceState):
                states.append(item)
            else:
                values |= dict(zip(item.tag.tolist(), item.value.tolist(), strict=True))
                qualities |= dict(zip(item.tag.tolist(), item.quality.tolist(), strict=True))
    return values, qualities, states


def wire(kind: str, order: str) -> list[int]:
    """Registers that hold the type's test number in that order."""
    form, number = NUMBERS[kind]
    words = [word for (word,) in struct.iter_unpack("2s", struct.pack(">" + form, number))]
    if order in ("CDAB", "DCBA"):
        words.reverse()
    return [int.from_bytes(word, "little" if order in ("BADC", "DCBA") else "big") for word in words]


@pytest.mark.parametrize("table", ["holding", "input"])
async def test_every_type_in_every_order(start: Start, port: int, table: str) -> None:
    tags: list[dict[str, object]] = []
    image: dict[int, int] = {}
    expected = []
    for kind in NUMBERS:
        for order in ("ABCD", "BADC", "CDAB", "DCBA"):
            tags.append({"address": f"{table}:{len(image)}", "type": kind, "byte_order": order})
            image |= {len(image) + place: word for place, word in enumerate(wire(kind, order))}
            expected.append(float(NUMBERS[kind][1]))
    start({table: image})
    async with opened(port, tags) as source:
        values, qualities, states = await read_all(source, len(tags))
    assert [values[row] for row in range(len(tags))] == expected
    assert set(qualities.values()) == {Quality.GOOD}
    assert states == [DeviceState(0, "ok")]


@pytest.mark.parametrize("table", ["coil", "discrete"])
async def test_bits(start: Start, port: int, table: str) -> None:
    image = {place: int(place % 3 == 0) for place in range(2500)}
    start({table: image})
    tags: list[dict[str, object]] = [{"address": f"{table}:{place}"} for place in image]
    async with opened(port, tags) as source:
        values, _, _ = await read_all(source, len(tags))
    assert values == image


async def test_one_illegal_address_costs_one_tag(start: Start, port: int) -> None:
    start({"holding": {place: place for place in range(100) if place != 42}})
    tags: list[dict[str, object]] = [{"address": f"holding:{place}"} for place in range(100)]
    async with opened(port, tags) as source:
        _, qualities, _ = await read_all(source, 100)
        assert [tag for tag, quality in qualities.items() if quality != Quality.GOOD] == [42]
        assert qualities[42] == Quality.BAD_ADDRESS


async def test_a_killed_server_is_not_connected_and_its_successor_is_read(start: Start, port: int) -> None:
    tags: list[dict[str, object]] = [{"address": f"holding:{place}", "scale": "0.1"} for place in range(50)]
    server = start({"holding": dict.fromkeys(range(50), 234)})
    async with opened(port, tags, interval="10ms") as source:
        values, _, _ = await read_all(source, 50)
        assert set(values.values()) == {23.4}
        server.kill()
        server.wait(10)
        with pytest.raises(NotConnected):
            await read_all(source, 51)
        with pytest.raises(NotConnected):
            await source.open()
        start({"holding": dict.fromkeys(range(50), 235)})
        await source.open()
        values, _, states = await read_all(source, 50)
        assert set(values.values()) == {23.5}
        assert states == [DeviceState(0, "ok")]
