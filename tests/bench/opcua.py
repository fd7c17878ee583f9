"""OPC UA: from bytes to columns, and a subscription from the socket to sample blocks."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import uvloop
from asyncua import Client, ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import struct_from_binary, struct_to_binary

from gateway.core.blocks import SampleBlock
from gateway.core.clock import SystemClock
from gateway.core.ports.plugin import SourceServices
from gateway.sources.opcua.client.responses import read_publish, read_values
from gateway.sources.opcua.client.session import connect
from gateway.sources.opcua.port.values import DataValues
from gateway.sources.opcua.source.decode import TagColumns, decode
from gateway.sources.opcua.source.source import OpcUaSource
from tests.bench.figures import Bench, Figure
from tests.support.network import free_port
from tests.support.opcua_fake import entry
from tests.support.watermarks_fake import FakeWatermarks

_NODES, _PERIOD_MS, _MEASURE_S = 10_000, 100, 10.0
_NOW = datetime(2026, 8, 1, tzinfo=UTC)
_KINDS = (ua.VariantType.Double, ua.VariantType.Float, ua.VariantType.Int32, ua.VariantType.Boolean, ua.VariantType.UInt16)


def _value(kind: ua.VariantType, number: int) -> ua.DataValue:
    value = bool(number % 2) if kind is ua.VariantType.Boolean else number if kind.value < 10 else number / 7
    return ua.DataValue(ua.Variant(value, kind), ua.StatusCode(0), SourceTimestamp=_NOW)


def _publish(values: list[ua.DataValue]) -> bytes:
    items = [ua.MonitoredItemNotification(ClientHandle=row, Value=value) for row, value in enumerate(values)]
    response = ua.PublishResponse()
    response.Parameters.NotificationMessage.NotificationData = [ua.DataChangeNotification(MonitoredItems=items)]
    return struct_to_binary(response)


def _us_per_value(work: Callable[[], object], values: int, least_s: float = 1.0) -> float:
    work()
    begin, turns = time.process_time(), 0
    while time.process_time() - begin < least_s:
        work()
        turns += 1
    return (time.process_time() - begin) / turns / values * 1e6


def _decode() -> Iterator[Figure]:
    tags = TagColumns.of(0, entry(_NODES).tags)
    same = _publish([_value(ua.VariantType.Double, n) for n in range(_NODES)])
    mixed = _publish([_value(_KINDS[n % len(_KINDS)], n) for n in range(_NODES)])
    read = ua.ReadResponse(Results=[_value(ua.VariantType.Double, n) for n in range(_NODES)])
    answer = struct_to_binary(read)

    def blocks(data: bytes) -> object:
        (columns,) = read_publish(Buffer(data)).changes
        return decode(DataValues(columns, 2**60, 0), tags, 10**9)

    def polled() -> object:
        return decode(DataValues(read_values(Buffer(answer))[0], 2**60, 0), tags, 10**9)

    on = f"{_NODES:,} values a notification, bytes to sample block"
    us = _us_per_value(lambda: blocks(same), _NODES)
    yield Figure("opcua_decode_values_per_s", 1e6 / us, "values/s", f"{on}, all Double", ">= 2,000,000")
    us = _us_per_value(lambda: blocks(mixed), _NODES)
    yield Figure("opcua_mixed_us_per_value", us, "us", f"{on}, five types in turn", "<= 1")
    yield Figure("opcua_read_us_per_value", _us_per_value(polled, _NODES), "us", "the same as a ReadResponse, all Double")
    us = _us_per_value(lambda: struct_from_binary(ua.PublishResponse, Buffer(same)), _NODES)
    yield Figure("opcua_plain_decode_us_per_value", us, "us", "the same notification, decoded by asyncua")


@contextmanager
def _server(nodes: int, period_ms: int) -> Iterator[str]:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.opcua_replay", *map(str, (port, nodes, period_ms))], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.readline()
    try:
        yield f"opc.tcp://127.0.0.1:{port}/"
    finally:
        process.kill()
        process.wait()


async def _ours(url: str) -> tuple[float, float]:
    """(CPU seconds, values) per second of a subscription to all nodes."""
    nodes = [f"ns=2;s=n{i}" for i in range(_NODES)]
    source = OpcUaSource(
        entry(nodes=nodes, url=url, interval="100ms", timeout="10s"),
        SourceServices(SystemClock(), FakeWatermarks()),
        connect,
    )
    await source.open()
    values, begin, cpu = 0, 0.0, 0.0
    end = time.monotonic() + 2
    for measured in (False, True):
        if measured:
            values, begin, cpu = 0, time.monotonic(), time.process_time()
            end = begin + _MEASURE_S
        while time.monotonic() < end:
            news = await source.read()
            values += len(news) if isinstance(news, SampleBlock) else 0
    took = time.monotonic() - begin
    used = time.process_time() - cpu
    await source.close()
    return used / took, values / took


class _Handler:
    """asyncua's way: a call for each change."""

    def __init__(self) -> None:
        self.values = 0

    def datachange_notification(self, node: object, value: object, data: object) -> None:
        self.values += 1


async def _plain(url: str) -> float:
    """us of CPU per value of asyncua's ordinary subscription."""
    handler = _Handler()
    async with Client(url, timeout=30) as client:
        subscription = await client.create_subscription(100, handler)
        nodes = [client.get_node(f"ns=2;s=n{i}") for i in range(_NODES)]
        for at in range(0, _NODES, 1000):
            await subscription.subscribe_data_change(nodes[at : at + 1000])
        await asyncio.sleep(1)
        begin, before = time.process_time(), handler.values
        await asyncio.sleep(_MEASURE_S)
        return (time.process_time() - begin) / max(1, handler.values - before) * 1e6


def _subscription() -> Iterator[Figure]:
    on = f"{_NODES:,} Doubles every {_PERIOD_MS} ms from a replaying server in another process, {_MEASURE_S:g} s"
    with _server(_NODES, _PERIOD_MS) as url, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        share, rate = runner.run(_ours(url))
    yield Figure("opcua_100k_cpu_share", share * 100, "% of one core", f"{on}: {rate:,.0f} values/s arrived", "<= 5")
    with _server(_NODES, 1000) as url, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        us = runner.run(_plain(url))
    yield Figure("opcua_plain_us_per_value", us, "us", f"asyncua's ordinary subscription, {_NODES:,} Doubles every second")


BENCHES = (
    Bench(
        (
            "opcua_decode_values_per_s",
            "opcua_mixed_us_per_value",
            "opcua_read_us_per_value",
            "opcua_plain_decode_us_per_value",
        ),
        _decode,
    ),
    Bench(("opcua_100k_cpu_share", "opcua_plain_us_per_value"), _subscription),
)
