"""The Modbus source against a fast local server: CPU of this process only, the server runs in another one."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress

import uvloop
from pymodbus.client import AsyncModbusTcpClient

from gateway.core.blocks import SampleBlock
from gateway.core.clock import SystemClock
from gateway.core.ports.plugin import DeviceEntry
from gateway.core.ports.source import Source
from gateway.core.quality import Quality
from gateway.sources.modbus.config import ModbusDevice
from gateway.sources.modbus.source import ModbusSource
from gateway.sources.modbus.tag import ModbusTag
from tests.bench.figures import Bench, Figure
from tests.support.network import free_port

_WARM_S, _MEASURE_S = 1.5, 6.0
_GOOD = int(Quality.GOOD)  # an enumeration's member costs a call each time, which is not the source's


@contextmanager
def serving() -> Iterator[int]:
    port = free_port()
    with subprocess.Popen([sys.executable, "-m", "tests.bench.modbus_server", str(port)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield port
        finally:
            process.kill()


def _entries(port: int, devices: int, tags: int, **keys: object) -> list[DeviceEntry]:
    """Devices, float32 tags side by side."""
    one = [
        ModbusTag.model_validate({"name": f"t{n}", "address": f"holding:{2 * n}", "type": "float32"}) for n in range(tags)
    ]
    return [
        DeviceEntry(
            n,
            ModbusDevice.model_validate({"name": f"d{n}", "url": f"tcp://127.0.0.1:{port}"} | keys),
            one,
            n * tags,
        )
        for n in range(devices)
    ]


class _Count:
    """Samples that arrived, good ones apart."""

    samples = 0
    good = 0
    done = False

    async def follow(self, source: Source) -> None:
        await source.open()
        while True:
            item = await source.read()
            if isinstance(item, SampleBlock):
                self.samples += len(item)
                self.good += len(item) if item.quality.item(0) == _GOOD else 0


async def _measured(run: Callable[[_Count], Awaitable[object]]) -> tuple[float, float, float]:
    """(samples/s, CPU share, CPU us a sample) while `run` runs; every sample must be good."""
    count = _Count()
    task = asyncio.ensure_future(run(count))
    await asyncio.sleep(_WARM_S)
    cpu, wall, samples, good = time.process_time(), time.monotonic(), count.samples, count.good
    await asyncio.sleep(_MEASURE_S)
    cpu, wall = time.process_time() - cpu, time.monotonic() - wall
    samples, good = count.samples - samples, count.good - good
    count.done = True
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert samples, "nothing was read"
    assert samples == good, f"{samples - good} of {samples} samples were not good"
    return samples / wall, cpu / wall, cpu / samples * 1e6


def _of_sources(entries: list[DeviceEntry]) -> Callable[[_Count], Awaitable[object]]:
    """Each device with a connection of its own, begun at its own moment as the application does it."""
    clock = SystemClock()
    sources = [ModbusSource([entry], clock, phase=n * 0.618034 % 1) for n, entry in enumerate(entries)]

    async def run(count: _Count) -> None:
        try:
            await asyncio.gather(*(count.follow(source) for source in sources))
        finally:
            for source in sources:
                await source.close()

    return run


def _run(port: int, **shape: object) -> tuple[float, float, float]:
    async def main() -> tuple[float, float, float]:
        return await _measured(_of_sources(_entries(port, **shape)))  # type: ignore[arg-type]

    return uvloop.run(main())


def _plain_pymodbus(port: int) -> tuple[float, float, float]:
    """pymodbus as its documentation shows it: registers as a list, every value converted by itself."""

    async def run(count: _Count) -> None:
        client = AsyncModbusTcpClient("127.0.0.1", port=port)
        await client.connect()
        kind = client.DATATYPE.FLOAT32
        try:
            while not count.done:  # pymodbus loses a cancel that comes together with a reply
                reply = await client.read_holding_registers(0, count=124, device_id=1)
                words = reply.registers
                values = [client.convert_from_registers(words[at : at + 2], kind) for at in range(0, 124, 2)]
                count.samples += len(values)
                count.good += len(values)
        finally:
            client.close()

    async def main() -> tuple[float, float, float]:
        return await _measured(run)

    return uvloop.run(main())


def _hundred_thousand() -> Iterator[Figure]:
    with serving() as port:
        rate, share, us = _run(port, devices=1, tags=10_000, interval="100ms")
        on = f"10,000 float32 tags at 100 ms on one connection: {rate:,.0f} samples/s, {us:.3f} us a sample"
        yield Figure("modbus_100k_cpu_share", share * 100, "% of one core", on, "<= 15")


def _flat_out() -> Iterator[Figure]:
    with serving() as port:
        rate, share, us = _run(port, devices=8, tags=6200, interval="10ms")
        on = f"8 connections, 6,200 float32 tags each, as fast as it goes; {share:.0%} of a core, {us:.3f} us a sample"
        yield Figure("modbus_flat_out_samples_per_s", rate / share, "samples/s on one core", on, ">= 1,000,000")
        rate, share, us = _run(port, devices=8, tags=620, interval="10ms", max_registers=2)
        on = f"the same with one request for each tag: {rate:,.0f} samples/s, {share:.0%} of a core, {us:.2f} us a sample"
        yield Figure("modbus_one_request_per_tag_samples_per_s", rate / share, "samples/s on one core", on)
        rate, share, us = _plain_pymodbus(port)
        on = f"62 float32 a request with pymodbus's client and its register lists: {share:.0%} of a core, {us:.2f} us each"
        yield Figure("modbus_plain_pymodbus_samples_per_s", rate / share, "samples/s on one core", on)


def _many_devices() -> Iterator[Figure]:
    with serving() as port:
        rate, share, us = _run(port, devices=500, tags=20, interval="1s")
        on = f"500 devices x 20 float32 tags at 1 s, a connection each: {rate:,.0f} samples/s, {us:.2f} us a sample"
        yield Figure("modbus_500_devices_cpu_share", share * 100, "% of one core", on, "<= 10")


BENCHES = (
    Bench(("modbus_100k_cpu_share",), _hundred_thousand),
    Bench(
        (
            "modbus_flat_out_samples_per_s",
            "modbus_one_request_per_tag_samples_per_s",
            "modbus_plain_pymodbus_samples_per_s",
        ),
        _flat_out,
    ),
    Bench(("modbus_500_devices_cpu_share",), _many_devices),
)
