"""A backlog leaves while everything else goes on: `python -m tests.bench.outbox_drain FOLDER`. Prints one JSON object.

The whole gateway on its event loop, all parts real: 100 Modbus devices polled from a server in another process, windows of
10,000 tags each second, the outbox on disk, mosquitto. Looked at from inside, where its messages can be told apart.
"""

import asyncio
import json
import logging
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import structlog
import uvloop

from gateway.app.gateway import Gateway
from gateway.core.blocks import SampleBlock
from gateway.core.clock import SystemClock
from gateway.core.messages import Message
from gateway.core.ports.outbox import Delivery
from gateway.runtime.reload_requests import ReloadRequests
from gateway.runtime.watchdog import Notifier
from gateway.settings.load_folder import load
from tests.bench.outbox_work import DEVICES, windows
from tests.support.clock import ManualClock
from tests.support.gateway import Modbus, write_config
from tests.support.mosquitto import Mosquitto
from tests.support.network import free_port, until
from tests.support.outbox_parts import NOW_NS, Rig

GROWTH_S = 600
_QUIET_S = 4.0
_TAGS, _FAST = 100, 10
_SLOW_NS, _FAST_NS = 1_000_000_000, 100_000_000


class Watch:
    """What happens in a running gateway: polls by device, messages from `put` to PUBACK, backlog that is left."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.delays: list[float] = []
        self.late_ns = 0
        """Most that the time between two polls of a device has been above its interval."""
        self.drained = asyncio.get_running_loop().create_future()
        self.left: int | None = None
        """Messages of the backlog that the broker does not have yet, once counting has begun."""
        self._put_at: dict[tuple[str, int], float] = {}
        self._last_ns: dict[int, int] = {}
        outbox, pipeline = gateway.parts.uplinks.all[0].outbox, gateway.parts.pipeline
        self._put, self._ack, self._push = outbox.put, outbox.ack, pipeline.push
        outbox.put, outbox.ack, pipeline.push = self.put, self.ack, self.push  # type: ignore[method-assign]

    def put(self, message: Message) -> None:
        self._put_at[message.topic, message.seq] = time.monotonic()
        self._put(message)

    def ack(self, delivery: Delivery) -> None:
        if delivery.live:
            self.delays.append(time.monotonic() - self._put_at.pop((delivery.message.topic, delivery.message.seq)))
        elif self.left is not None:
            self.left -= 1
            if not self.left:
                self.drained.set_result(time.monotonic())
        self._ack(delivery)

    def push(self, block: SampleBlock) -> None:
        tag, now_ns = int(block.tag[0]), int(block.time[0])
        device = tag // _TAGS
        interval_ns = _FAST_NS if device >= DEVICES - _FAST else _SLOW_NS
        if tag % _TAGS == 0:  # a device may be read in several requests
            self.late_ns = max(self.late_ns, now_ns - self._last_ns.get(device, now_ns) - interval_ns)
            self._last_ns[device] = now_ns
        self._push(block)

    def counted(self, name: str) -> int:
        """A counter of the Modbus devices, all together."""
        return sum(int(of[name]) for source in self.gateway.parts.sources for of in source.stats().values())


@contextmanager
def _server() -> Iterator[int]:
    port = free_port()
    command = [sys.executable, "-m", "tests.bench.modbus_server", str(port), "moving"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield port
        finally:
            process.kill()


def _devices(port: int) -> list[Modbus]:
    """The last `_FAST` ones are read ten times a second."""
    return [
        Modbus(f"d{n:02}", f"tcp://127.0.0.1:{port}", _TAGS, n + 1, "1s" if n < DEVICES - _FAST else "100ms")
        for n in range(DEVICES)
    ]


async def _backlog(path: Path) -> None:
    async with Rig(path, clock=ManualClock(NOW_NS), compress=True) as rig:
        for messages in islice(windows(time.time_ns() - GROWTH_S * 10**9), GROWTH_S):
            for message in messages:
                rig.outbox.put(message)
            await rig.commit()


async def drain(folder: Path) -> dict[str, float]:
    """Fill, start the gateway, let it poll, let the broker come, and measure from the first message to the last of what
    had waited until then."""
    await _backlog(folder / "outbox.db")
    binary = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin")
    assert binary, "mosquitto is needed: make servers"
    broker = Mosquitto(binary, folder)
    stop = asyncio.Event()
    with _server() as port:
        clock = SystemClock()
        gateway = Gateway(load(write_config(folder, broker.url, _devices(port))), clock, ReloadRequests())
        watch = Watch(gateway)
        running = asyncio.create_task(gateway.run(stop, Notifier()))
        try:
            await until(lambda: watch.counted("requests") > 5 * DEVICES, 30, "it polls")
            quiet = await _quiet(watch)
            await broker.start("max_queued_messages 1000000")
            await until(lambda: gateway.parts.uplinks.acked, 60, "the first message is through")
            return quiet | await _drained(watch)
        finally:
            stop.set()
            await asyncio.wait([running], timeout=30)
            broker.kill()


async def _quiet(watch: Watch) -> dict[str, float]:
    """What the machine does to polling before anything is drained."""
    watch.late_ns = 0
    missed, polls = watch.counted("overruns"), watch.counted("requests")
    await asyncio.sleep(_QUIET_S)
    return {
        "quiet_missed": watch.counted("overruns") - missed,
        "quiet_polls": watch.counted("requests") - polls,
        "quiet_late_ms": watch.late_ns / 1e6,
    }


async def _drained(watch: Watch) -> dict[str, float]:
    stats = watch.gateway.parts.outbox.stats
    watch.left = backlog = stats.messages
    watch.late_ns = 0
    began, cpu, polls, missed = time.monotonic(), time.process_time(), watch.counted("requests"), watch.counted("overruns")
    ended = await asyncio.wait_for(watch.drained, 120)
    cpu = time.process_time() - cpu
    return {
        "backlog": backlog,
        "seconds": ended - began,
        "cpu": cpu,
        "polls": watch.counted("requests") - polls,
        "missed": watch.counted("overruns") - missed,
        "late_ms": watch.late_ns / 1e6,
        "live": len(watch.delays),
        "live_delay_ms": max(watch.delays) * 1e3,
    }


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # as the gateway does
        print(json.dumps(runner.run(drain(Path(sys.argv[1])))))
