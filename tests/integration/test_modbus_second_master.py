"""Another master on the line of a transparent serial server: its replies are never good values of ours."""

import asyncio
import struct
from contextlib import suppress

import pytest

from gateway.core.blocks import SampleBlock
from gateway.core.errors import NotConnected
from gateway.core.messages import DeviceState
from gateway.core.quality import Quality
from gateway.sources.modbus.plugin import ModbusPlugin
from tests.support.modbus_fake import entry
from tests.support.network import until
from tests.support.serial_server import SerialServer, poll_as_another_master
from tests.support.watermarks_fake import services

OURS, THEIRS = 230, 4321


def meter(unit: int, function: int, start: int, count: int) -> bytes:
    """Registers 0 to 99 are 230, the others 4321."""
    values = [OURS if place < 100 else THEIRS for place in range(start, start + count)]
    return struct.pack(f">BB{count}H", function, 2 * count, *values)


async def read_for(port: int, seconds: float, out: list[object], **keys: object) -> dict[str, float | str]:
    """Poll register 0 for so long. Returns the counters."""
    device = entry(
        [{"address": "holding:0"}], url=f"rtu+tcp://127.0.0.1:{port}", **({"interval": "100ms", "timeout": "500ms"} | keys)
    )
    (source,) = ModbusPlugin().build([device], services())
    await source.open()
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while True:
                out.append(await source.read())
    await source.close()
    return dict(source.stats()[0])


def samples(items: list[object]) -> list[tuple[float, int]]:
    return [(float(item.value[0]), int(item.quality[0])) for item in items if isinstance(item, SampleBlock)]


@pytest.mark.parametrize("latency_s", [0.02, 0.3])
async def test_values_of_another_master_are_never_good(port: int, latency_s: float) -> None:
    """Before, 13 of 113 samples were the other's, good, and nothing was said. Nor is the first, however slow the line is."""
    items: list[object] = []
    async with SerialServer(port, meter, latency_s):
        other = asyncio.create_task(poll_as_another_master(port, 1, 200, 1, 0.13 + 2 * latency_s))
        stats = await read_for(port, 8.0 + 10 * latency_s, items)
        other.cancel()
    wrong = [quality for value, quality in samples(items) if value == THEIRS]
    assert wrong, "the other master never met one of our requests"
    assert set(wrong) == {Quality.UNCERTAIN_SHARED_LINE}
    assert int(stats["connection_unasked_replies"]) > 10
    states = [item for item in items if isinstance(item, DeviceState)]
    assert states[-1].state == "degraded"
    assert "another master polls this line" in states[-1].reason


async def test_a_late_reply_is_not_taken_for_another_master(port: int) -> None:
    """It is our own: at each third request the line takes longer than the timeout."""
    items: list[object] = []
    count = 0

    def sluggish(unit: int, function: int, start: int, places: int) -> bytes:
        nonlocal count
        count += 1
        server._latency_s = 0.6 if count % 3 == 1 else 0.02
        return meter(unit, function, start, places)

    async with SerialServer(port, sluggish) as server:
        stats = await read_for(port, 5.0, items)
    assert int(stats["timeouts"]) > 1
    assert stats["connection_unasked_replies"] == 0
    assert Quality.GOOD in {quality for _, quality in samples(items)}


async def test_values_are_never_good_where_requests_of_equal_length_follow_each_other_without_a_pause(port: int) -> None:
    """One foreign reply shifted all that followed by one: half of the samples were the other tag's, good, for ever."""
    tags: list[dict[str, object]] = [{"address": "holding:0"}, {"address": "holding:50"}]
    expected = {0: 230.0, 1: 400.0}

    def two_values(unit: int, function: int, start: int, count: int) -> bytes:
        values = [230 if place < 50 else 400 if place < 100 else THEIRS for place in range(start, start + count)]
        return struct.pack(f">BB{count}H", function, 2 * count, *values)

    url = f"rtu+tcp://127.0.0.1:{port}"
    (source,) = ModbusPlugin().build([entry(tags, url=url, interval="20ms", timeout="500ms", max_gap=0)], services())
    wrong = 0
    async with SerialServer(port, two_values, 0.01):
        await source.open()
        other = asyncio.create_task(poll_as_another_master(port, 1, 200, 1, 0.5))
        with suppress(TimeoutError):
            async with asyncio.timeout(6.0):
                while True:
                    item = await source.read()
                    if not isinstance(item, SampleBlock):
                        continue
                    for tag, value, quality in zip(item.tag, item.value, item.quality, strict=True):
                        wrong += quality == Quality.GOOD and value != expected[int(tag)]
        other.cancel()
        await source.close()
    assert wrong == 0
    assert int(source.stats()[0]["connection_unasked_replies"]) > 3


async def test_the_very_first_reply_on_a_slow_line_is_not_believed_before_ours_would_have_come(port: int) -> None:
    """It came 0.1 s after the request, so the line was taken for six times as fast as it is, and the value was good."""
    items: list[object] = []
    async with SerialServer(port, meter, 0.6):
        other = asyncio.create_task(poll_as_another_master(port, 1, 200, 1, 60.0))
        await asyncio.sleep(0.5)  # its reply comes 0.1 s after our request
        reading = asyncio.create_task(read_for(port, 60.0, items, timeout="1500ms"))
        await until(lambda: len(samples(items)) > 2, 30.0, "samples")
        reading.cancel()
        other.cancel()
    assert (THEIRS, Quality.UNCERTAIN_SHARED_LINE) in samples(items)
    assert (THEIRS, Quality.GOOD) not in samples(items)


async def test_what_is_held_when_the_connection_ends_is_uncertain(port: int) -> None:
    """Whose reply it was can no longer show."""
    items: list[object] = []
    server = SerialServer(port, meter)
    async with server:
        reading = asyncio.create_task(read_for(port, 60.0, items))
        await until(lambda: (OURS, Quality.GOOD) in samples(items), 30.0, "a sample without doubt")
    with pytest.raises(NotConnected):
        await reading
    assert samples(items)[-1] == (OURS, Quality.UNCERTAIN_SHARED_LINE)
