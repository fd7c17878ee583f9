"""The whole source against a scripted server, with real sockets and the real clock."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from gateway.core.blocks import SampleBlock
from gateway.core.errors import NotConnected
from gateway.core.messages import DeviceState
from gateway.core.ports.source import Source
from gateway.core.quality import Quality
from gateway.sources.modbus.plugin import ModbusPlugin
from tests.support.modbus_fake import entry
from tests.support.modbus_server import Ask, ScriptedServer, silent
from tests.support.watermarks_fake import services

TAGS: list[dict[str, object]] = [{"address": f"holding:{place}"} for place in range(200)]


def source_at(port: int, tags: list[dict[str, object]] = TAGS, **keys: object) -> Source:
    device = entry(tags, url=f"tcp://127.0.0.1:{port}", **({"interval": "20ms", "timeout": "200ms"} | keys))
    (source,) = ModbusPlugin().build([device], services())
    return source


async def first(source: Source, wanted: Callable[[SampleBlock | DeviceState], bool]) -> SampleBlock | DeviceState:
    """The first thing read that is wanted."""
    async with asyncio.timeout(20):
        while not wanted(item := await source.read()):
            pass
        return item


def good_samples(item: SampleBlock | DeviceState) -> bool:
    return isinstance(item, SampleBlock) and bool((item.quality == Quality.GOOD).all())


async def test_samples_are_stamped_between_the_request_and_now(port: int) -> None:
    async with ScriptedServer(port):
        source = source_at(port)
        await source.open()
        assert await source.read() == DeviceState(0, "ok")
        before = time.time_ns()
        for _ in range(20):
            block = await source.read()
            assert isinstance(block, SampleBlock)
            assert before - 10**9 < block.time[0] <= time.time_ns()
            assert (block.value == block.tag).all()
        await source.close()


async def test_a_server_restarted_under_load_is_read_again_after_open(port: int) -> None:
    server = ScriptedServer(port)
    source = source_at(port)
    for _ in range(3):
        await server.start()
        await source.open()
        assert await source.read() == DeviceState(0, "ok")
        assert await first(source, good_samples)
        await server.stop()
        with pytest.raises(NotConnected):
            await first(source, lambda item: False)
        await source.close()
        with pytest.raises(NotConnected):
            await source.open()


async def test_cancelling_the_source_on_a_silent_device_returns_at_once(port: int) -> None:
    async with ScriptedServer(port, silent) as server:
        source = source_at(port, timeout="1h")
        await source.open()
        task = asyncio.create_task(source.read())
        await asyncio.wait_for(server.asked.wait(), 5)
        began = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await source.close()
        assert time.monotonic() - began < 0.5


async def test_a_silent_server_gives_timeouts_and_then_not_connected(port: int) -> None:
    async with ScriptedServer(port, silent):
        source = source_at(port)
        await source.open()
        block = await source.read()
        assert isinstance(block, SampleBlock)
        assert set(block.quality) == {Quality.BAD_TIMEOUT}
        with pytest.raises(NotConnected, match="no unit answers"):
            await first(source, lambda item: False)
        await source.close()


async def test_one_illegal_address_costs_one_tag(port: int) -> None:
    async def refuse_77(ask: Ask, writer: asyncio.StreamWriter) -> None:
        writer.write(ask.exception(2) if ask.start <= 77 < ask.start + ask.count else ask.good())

    async with ScriptedServer(port, refuse_77):
        source = source_at(port)
        await source.open()
        told: list[object] = []
        seen: dict[int, int] = {}
        while len(seen) < 200 or len(told) < 2:
            item = await source.read()
            if isinstance(item, SampleBlock):
                seen |= dict(zip(item.tag.tolist(), item.quality.tolist(), strict=True))
            else:
                told.append(item)
        assert told[-1] == DeviceState(0, "degraded", "1 of 200 tags cannot be read: t77 (illegal data address)")
        assert [tag for tag, quality in seen.items() if quality != Quality.GOOD] == [77]
        await source.close()


async def test_a_dead_unit_leaves_the_others_alone(port: int) -> None:
    async def only_unit_2(ask: Ask, writer: asyncio.StreamWriter) -> None:
        if ask.unit == 2:
            writer.write(ask.good())

    async with ScriptedServer(port, only_unit_2):
        keys = {"url": f"tcp://127.0.0.1:{port}", "interval": "20ms", "timeout": "50ms"}
        dead, alive = entry(TAGS, unit=1, **keys), entry(TAGS, number=1, first_tag=200, unit=2, **keys)
        (source,) = ModbusPlugin().build([dead, alive], services())
        await source.open()
        down = await first(source, lambda item: isinstance(item, DeviceState) and item.state == "down")
        assert isinstance(down, DeviceState)
        assert down.device == 0
        for _ in range(20):
            assert await first(source, good_samples)
        await source.close()


async def test_each_url_is_one_connection() -> None:
    urls = ["tcp://a", "tcp://b:502", "tcp://A:502"]
    sources = ModbusPlugin().build(
        [entry(TAGS, number=n, first_tag=200 * n, url=url) for n, url in enumerate(urls)], services()
    )
    assert [list(source.devices) for source in sources] == [[0, 2], [1]]


async def test_a_server_that_closes_at_a_bad_address_serves_all_others(port: int) -> None:
    async def close(ask: Ask, writer: asyncio.StreamWriter) -> None:
        if ask.start <= 23 < ask.start + ask.count:
            writer.close()
        else:
            writer.write(ask.good())

    good: set[int] = set()
    async with ScriptedServer(port, close):
        source = source_at(port, TAGS[20:28])
        async with asyncio.timeout(60):
            while len(good) < 7:
                with suppress(NotConnected):
                    await source.open()
                    while len(good) < 7:
                        item = await source.read()
                        if isinstance(item, SampleBlock):
                            good.update(item.tag[item.quality == Quality.GOOD].tolist())
                await source.close()
    assert good == set(range(8)) - {3}


@pytest.mark.parametrize("unit", [0, 255])
async def test_a_device_without_units_may_say_so_in_its_replies(port: int, unit: int) -> None:
    async def no_unit(ask: Ask, writer: asyncio.StreamWriter) -> None:
        writer.write(ask.frame(ask.pdu(), unit=unit))

    async with ScriptedServer(port, no_unit):
        source = source_at(port)
        await source.open()
        assert good_samples(await first(source, good_samples))
        await source.close()


async def test_what_came_instead_of_a_reply_is_told(port: int) -> None:
    async def other_unit(ask: Ask, writer: asyncio.StreamWriter) -> None:
        writer.write(ask.frame(ask.pdu(), unit=7))

    async with ScriptedServer(port, other_unit):
        source = source_at(port)
        await source.open()
        with pytest.raises(NotConnected, match=r"no reply within 0\.2 s, but a reply of unit 7"):
            await first(source, good_samples)
        await source.close()
