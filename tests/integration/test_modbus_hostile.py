"""A device that was taken over costs its own tags: whatever it sends, its neighbour on the same event loop is served.

The neighbour is compared with itself before the attack, and what a callback holds is measured in processor time of the
loop's thread, so that a busy machine does not decide.
"""

import asyncio
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from gateway.core.blocks import SampleBlock
from gateway.core.errors import NotConnected
from gateway.core.ports.source import Source
from gateway.core.quality import GOOD_FROM
from gateway.sources.modbus.plugin import ModbusPlugin
from tests.support.gateway import GatewayProcess, Modbus, Subscriber, write_config
from tests.support.modbus_fake import entry
from tests.support.modbus_server import ScriptedServer
from tests.support.mosquitto import Mosquitto
from tests.support.network import free_port, until
from tests.support.watermarks_fake import services

_QUIET_S, _ATTACK_S = 0.5, 1.5
_LONGEST_HOLD_S = 0.05
_MOST_SHARE = 0.5
_MOST_GROWTH_BYTES = 64 * 2**20

ATTACKS = [
    ("rtu+tcp", "rtu_heads"), ("rtu+tcp", "rtu_expected_heads"), ("rtu+tcp", "rtu_exceptions"), ("rtu+tcp", "rtu_frames"),
    ("rtu+tcp", "random"), ("rtu+tcp", "zeros"), ("rtu+tcp", "single_bytes_rtu"), ("rtu+tcp", "hang_up"),
    ("tcp", "random"), ("tcp", "zeros"), ("tcp", "lying_lengths"), ("tcp", "replies"), ("tcp", "shortest_frames"),
    ("tcp", "exceptions"), ("tcp", "single_bytes"), ("tcp", "hang_up"), ("loose", "rtu_expected_heads"), ("loose", "random"),
    ("udp", "random"), ("udp", "replies"), ("udp", "exceptions"), ("udp", "single_bytes"),
    ("rtu", "rtu_heads"), ("rtu", "rtu_expected_heads"), ("rtu", "rtu_frames"), ("rtu", "random"),
    ("ascii", "lines"), ("ascii", "line_ends"), ("ascii", "random"),
]  # fmt: skip


@contextmanager
def hostile(scheme: str, kind: str, port: int) -> Iterator[str]:
    """Run the hostile peer. Yields the URL under which it is reached."""
    transport = {"udp": "udp:", "rtu": "tty:", "ascii": "tty:"}.get(scheme, "")
    command = [sys.executable, "-m", "tests.support.modbus_hostile", transport + kind, str(port)]
    root = Path(__file__).resolve().parents[2]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as process:
        try:
            assert process.stdout is not None
            said = process.stdout.readline().strip()
            if transport == "tty:":
                yield f"{scheme}://{said}?parity=N&stopbits=1&bytesize=8"
            elif scheme == "loose":
                yield f"tcp://127.0.0.1:{port}?ignore_transaction_id=1"
            else:
                yield f"{scheme}://127.0.0.1:{port}"
        finally:
            process.kill()


class Clockwork:
    """How long each callback of the event loop held its thread, in processor time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.longest_s = 0.0
        run = asyncio.Handle._run  # type: ignore[attr-defined]

        def measured(handle: Any) -> None:
            began_s = time.thread_time()
            run(handle)
            self.longest_s = max(self.longest_s, time.thread_time() - began_s)

        monkeypatch.setattr(asyncio.Handle, "_run", measured)


async def keep_reading(source: Source, on_block: Callable[[SampleBlock], None] = lambda block: None) -> None:
    """Read for ever; connect again soon after every loss: sooner than the supervisor does."""
    while True:
        with suppress(NotConnected):
            await source.open()
            while True:
                item = await source.read()
                if isinstance(item, SampleBlock):
                    on_block(item)
        await source.close()
        await asyncio.sleep(0.02)


def built(url: str) -> Source:
    """A source of 125 registers: the longest reply is waited for."""
    tags: list[dict[str, object]] = [{"address": f"holding:{place}"} for place in range(125)]
    (source,) = ModbusPlugin().build([entry(tags, url=url, interval="100ms", timeout="300ms")], services())
    return source


@pytest.mark.parametrize(("scheme", "kind"), ATTACKS)
def test_a_neighbour_is_served_while_a_device_babbles(
    scheme: str, kind: str, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    clockwork = Clockwork(monkeypatch)
    with hostile(scheme, kind, port) as url, asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(_attack(url, clockwork))


async def _attack(url: str, clockwork: Clockwork) -> None:
    good = 0

    def on_block(block: SampleBlock) -> None:
        nonlocal good
        good += bool((block.quality >= GOOD_FROM).all())

    neighbour_port = free_port()
    async with ScriptedServer(neighbour_port), asyncio.TaskGroup() as tasks:
        tasks_of = [tasks.create_task(keep_reading(built(f"tcp://127.0.0.1:{neighbour_port}"), on_block))]
        await asyncio.sleep(_QUIET_S)
        quiet_per_s, good = good / _QUIET_S, 0
        before_bytes, cpu_s, clockwork.longest_s = _most_memory_bytes(), time.thread_time(), 0.0
        began_s = time.monotonic()
        attacked = built(url)
        tasks_of.append(tasks.create_task(keep_reading(attacked)))
        await asyncio.sleep(_ATTACK_S)
        took_s = time.monotonic() - began_s
        share, per_s = (time.thread_time() - cpu_s) / took_s, good / took_s
        growth = _most_memory_bytes() - before_bytes
        connects = attacked.stats()[0]["connection_connects"]
        for task in tasks_of:
            task.cancel()
    print(f"\n{url}: longest hold {clockwork.longest_s * 1e3:.1f} ms, {share:.0%} of a core, "
          f"{growth / 2**20:.1f} MiB, neighbour {per_s:.1f}/s of {quiet_per_s:.1f}/s, {connects} connections")  # fmt: skip
    assert connects, "the hostile peer was not reached"
    assert clockwork.longest_s < _LONGEST_HOLD_S
    assert share < _MOST_SHARE
    assert growth < _MOST_GROWTH_BYTES
    assert per_s >= quiet_per_s / 2


def _most_memory_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


async def test_the_process_obeys_while_a_device_babbles(tmp_path: Path, mosquitto: str) -> None:
    """Windows of the neighbour arrive, and SIGTERM ends the process as fast as ever."""
    (tmp_path / "broker").mkdir()
    broker = Mosquitto(mosquitto, tmp_path / "broker")
    await broker.start()
    neighbour, attacked = free_port(), free_port()
    with hostile("rtu+tcp", "rtu_heads", attacked) as url, Subscriber(broker.port) as subscriber:
        devices = [Modbus("line1", f"tcp://127.0.0.1:{neighbour}", 5, interval="100ms"), Modbus("press", url, 5)]
        config = write_config(tmp_path, broker.url, devices, root="publish:\n  windows: all\n")
        with GatewayProcess(config) as gateway:
            async with ScriptedServer(neighbour):
                await until(lambda: len(subscriber.of("/line1/window")) > 4, 30, "windows of the neighbour")
                began_s = time.monotonic()
                assert await asyncio.to_thread(gateway.terminate, 5.0) == 0
                print(f"SIGTERM took {time.monotonic() - began_s:.2f} s")
    broker.stop()
