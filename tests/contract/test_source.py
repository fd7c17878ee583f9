"""What every source promises to its supervisor: the shipped protocols on real connections, and the protocol of the tests."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import count

import numpy as np
import pytest
import pytest_asyncio

from gateway.core.blocks import ObjectBlock, SampleBlock
from gateway.core.errors import NotConnected
from gateway.core.events.event import Event
from gateway.core.messages import DeviceState
from gateway.core.ports.plugin import DeviceEntry, SourcePlugin
from gateway.core.ports.source import Reading, Source
from gateway.core.quality import USABLE_FROM
from gateway.plugins import SOURCES
from tests.support import third_protocol
from tests.support.modbus_server import Ask, ScriptedServer, obedient
from tests.support.network import free_port
from tests.support.opcua_server import AsyncuaServer
from tests.support.proxy import Proxy
from tests.support.third_protocol import FieldbusPlugin
from tests.support.watermarks_fake import services

pytestmark = pytest.mark.asyncio(loop_scope="module")

AT_ONCE_S, SOON_S = 1.0, 20.0
FIRST_TAG, DEVICE = 40, 3
GOOD, ALSO_GOOD, BAD = FIRST_TAG, FIRST_TAG + 1, FIRST_TAG + 2
"""Tag ids: the first two can be read, the third one names nothing."""
NOWHERE = 900


@dataclass
class Field:
    """A source and the powers over what it is connected to."""

    source: Source
    cut: Callable[[], None]
    """The connection breaks, and no other is taken until `mend`."""
    mend: Callable[[], None]
    stall: Callable[[], None]
    """Nothing comes any more, and nobody says so."""


def built(plugin: SourcePlugin, url: str, tags: list[dict[str, object]], **device: object) -> Source:
    config = plugin.device_model.model_validate({"name": "press", "protocol": plugin.name, "url": url, **device})
    models = [plugin.tag_model.model_validate({"name": f"t{row}", **tag}) for row, tag in enumerate(tags)]
    (source,) = plugin.build([DeviceEntry(DEVICE, config, models, FIRST_TAG)], services())
    return source


async def answer(ask: Ask, writer: asyncio.StreamWriter) -> None:
    """Exception 2 (illegal data address) for what is nowhere."""
    if ask.start + ask.count > NOWHERE:
        writer.write(ask.exception(2))
    else:
        await obedient(ask, writer)


def behind(proxy: Proxy, source: Source) -> Field:
    def cut() -> None:
        proxy.refuse = True
        proxy.cut()

    def mend() -> None:
        proxy.refuse = False
        proxy.flow()

    return Field(source, cut, mend, proxy.stall)


async def modbus(stack: AsyncExitStack, port: int) -> Field:
    await stack.enter_async_context(ScriptedServer(port, answer))
    proxy = await stack.enter_async_context(Proxy(port))
    tags: list[dict[str, object]] = [{"address": f"holding:{place}"} for place in (0, 1, NOWHERE)]
    url = f"tcp://127.0.0.1:{proxy.port}"
    return behind(proxy, built(SOURCES["modbus"], url, tags, interval="50ms", timeout="500ms"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def opcua_port() -> AsyncIterator[int]:
    """Return where a server is that all tests share, since it takes a second to start. Its values never stand still."""
    port = free_port()
    async with AsyncuaServer(port, 2) as server:
        process = asyncio.create_task(changing(server))
        yield port
        process.cancel()


async def changing(server: AsyncuaServer) -> None:
    for number in count():
        await server.write(number % 2, float(number))
        await asyncio.sleep(0.05)


async def opcua(stack: AsyncExitStack, port: int, mode: str) -> Field:
    proxy = await stack.enter_async_context(Proxy(port))
    tags: list[dict[str, object]] = [{"node": f"ns=2;s={name}"} for name in ("v0", "v1", "absent")]
    url = f"opc.tcp://127.0.0.1:{proxy.port}"
    timing = {"security": "none", "interval": "100ms", "timeout": "2s"} | (
        {"sampling": "50ms"} if mode == "subscribe" else {}
    )
    return behind(proxy, built(SOURCES["opcua"], url, tags, mode=mode, **timing))


def fieldbus() -> Field:
    tags: list[dict[str, object]] = [{"slot": slot} for slot in (1, 2, third_protocol.SLOTS)]
    line = third_protocol.Line()
    return Field(built(FieldbusPlugin(line), "fieldbus://crane", tags), line.cut, line.mend, line.stall)


@pytest_asyncio.fixture(params=["modbus", "opcua subscribe", "opcua poll", "fieldbus"], loop_scope="module")
async def field(request: pytest.FixtureRequest, port: int, opcua_port: int) -> AsyncIterator[Field]:
    kind, _, mode = request.param.partition(" ")
    async with AsyncExitStack() as stack:
        if kind == "fieldbus":
            found = fieldbus()
        else:
            found = await (modbus(stack, port) if kind == "modbus" else opcua(stack, opcua_port, mode))
        yield found
        found.mend()
        await found.source.close()


async def read_until(source: Source, condition: Callable[[list[Reading]], object]) -> list[Reading]:
    """Everything that was read until the condition holds for it."""
    readings: list[Reading] = []
    async with asyncio.timeout(SOON_S):
        while not condition(readings):
            readings.append(await source.read())
    return readings


def tags_of(readings: list[Reading], usable: bool) -> set[int]:
    """Tags of which there is a sample that can be used, or that cannot."""
    blocks = [one for one in readings if isinstance(one, SampleBlock)]
    return {int(tag) for block in blocks for tag in block.tag[(block.quality >= USABLE_FROM) == usable]}


def good_ones(readings: list[Reading]) -> bool:
    return {GOOD, ALSO_GOOD} <= tags_of(readings, usable=True)


async def broken(source: Source) -> str:
    """Read until the connection is gone; why it is."""
    with pytest.raises(NotConnected) as caught:
        await read_until(source, lambda _: False)
    return str(caught.value)


async def test_devices_are_known_before_a_connection_and_stay(field: Field) -> None:
    assert list(field.source.devices) == [DEVICE]
    await field.source.open()
    await read_until(field.source, good_ones)
    assert list(field.source.devices) == [DEVICE]


async def test_readings_are_of_the_four_kinds_and_columns_are_equally_long(field: Field) -> None:
    await field.source.open()
    for reading in await read_until(field.source, good_ones):
        assert isinstance(reading, SampleBlock | ObjectBlock | DeviceState | Event)
        if isinstance(reading, SampleBlock):
            columns = (reading.tag, reading.time, reading.value, reading.quality)
            assert [column.dtype for column in columns] == [np.uint32, np.int64, np.float64, np.uint8]
            assert len({column.size for column in columns}) == 1
            assert set(reading.tag.tolist()) <= {GOOD, ALSO_GOOD, BAD}
        elif isinstance(reading, DeviceState):
            assert reading.device == DEVICE


async def test_a_device_that_answers_is_reported(field: Field) -> None:
    await field.source.open()
    readings = await read_until(field.source, lambda got: any(isinstance(one, DeviceState) for one in got))
    assert next(one for one in readings if isinstance(one, DeviceState)).state != "down"


async def test_a_tag_that_fails_costs_its_own_samples_and_never_the_connection(field: Field) -> None:
    await field.source.open()
    got = await read_until(field.source, lambda got: good_ones(got) and BAD in tags_of(got, usable=False))
    assert BAD not in tags_of(got, usable=True)
    assert not {GOOD, ALSO_GOOD} & tags_of(got, usable=False)


async def opened_and_read(source: Source) -> None:
    """Modbus over TCP may find only when it asks that a connection which was accepted is reset at once."""
    async with asyncio.timeout(SOON_S):
        await source.open()
        await read_until(source, lambda _: False)


async def test_open_without_a_far_end_is_not_connected_and_may_be_tried_again(field: Field) -> None:
    field.cut()
    for _ in range(2):
        with pytest.raises(NotConnected) as caught:
            await opened_and_read(field.source)
        assert str(caught.value), "a reason for people"
        await field.source.close()
    field.mend()
    await field.source.open()
    await read_until(field.source, good_ones)


async def test_a_lost_connection_ends_in_not_connected_again_and_again_until_it_is_opened(field: Field) -> None:
    await field.source.open()
    await read_until(field.source, good_ones)
    field.cut()
    for _ in range(2):
        assert await broken(field.source), "a reason for people"
    await field.source.close()
    field.mend()
    await field.source.open()
    await read_until(field.source, good_ones)


async def cancelled_at_once(task: "asyncio.Task[object]") -> None:
    await asyncio.sleep(0.1)
    task.cancel()
    done, _ = await asyncio.wait([task], timeout=AT_ONCE_S)
    assert done, "cancelled, and still at work"
    assert task.cancelled() or task.exception() is None


async def test_open_is_cancellable_at_once_and_may_be_called_again(field: Field) -> None:
    field.stall()
    await cancelled_at_once(asyncio.create_task(field.source.open()))
    await field.source.close()
    field.mend()
    await field.source.open()
    await read_until(field.source, good_ones)


async def test_read_is_cancellable_at_once(field: Field) -> None:
    await field.source.open()
    await read_until(field.source, good_ones)
    field.stall()
    reads = asyncio.create_task(read_until(field.source, lambda _: False))
    await cancelled_at_once(reads)


async def test_a_read_that_was_cancelled_costs_no_connection(field: Field) -> None:
    await field.source.open()
    await read_until(field.source, good_ones)
    await cancelled_at_once(asyncio.create_task(read_until(field.source, lambda _: False)))
    await read_until(field.source, good_ones)


async def test_counts_are_of_its_devices_and_have_names_that_stay(field: Field) -> None:
    await field.source.open()
    await read_until(field.source, good_ones)
    before = field.source.stats()
    await read_until(field.source, good_ones)
    after = field.source.stats()
    assert set(before) == set(after) == {DEVICE}
    assert set(before[DEVICE]) <= set(after[DEVICE])
    for name, value in after[DEVICE].items():
        assert re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name)
        assert isinstance(value, float | int | str)


GRANTED = {"queue_size"}
"""What the present session was granted: no counts."""


async def test_counts_outlive_a_connection(field: Field) -> None:
    """They count since the start."""
    await field.source.open()
    await read_until(field.source, good_ones)
    before = field.source.stats()[DEVICE]
    await field.source.close()
    after = field.source.stats()[DEVICE]
    counts = {name: value for name, value in before.items() if isinstance(value, int) and name not in GRANTED}
    assert {name: value for name, value in counts.items() if after[name] < value} == {}  # type: ignore[operator]


async def test_close_never_raises_whatever_the_state(field: Field) -> None:
    async with asyncio.timeout(SOON_S):
        await field.source.close()
        await field.source.open()
        await field.source.close()
        await field.source.close()
        await field.source.open()
        field.cut()
        await field.source.close()


async def test_close_ends_within_seconds_when_the_far_end_hangs(field: Field) -> None:
    await field.source.open()
    await read_until(field.source, good_ones)
    field.stall()
    async with asyncio.timeout(8):
        await field.source.close()


async def test_close_releases_what_open_took(field: Field) -> None:
    """No task is left; the connection is gone, and a new one can be made as often as wanted."""
    before = asyncio.all_tasks()
    for _ in range(3):
        await field.source.open()
        await read_until(field.source, good_ones)
        await field.source.close()
    async with asyncio.timeout(SOON_S):
        while left := {task for task in asyncio.all_tasks() - before if "gateway" in str(task.get_coro())}:
            await asyncio.wait(left)
