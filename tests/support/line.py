"""A small plant for end-to-end tests: one Modbus device served from this event loop, one real broker, the gateway."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.gateway import GatewayProcess, Modbus, Subscriber, write_config
from tests.support.modbus_server import ScriptedServer
from tests.support.mosquitto import Mosquitto
from tests.support.network import free_port, until
from tests.support.proxy import PUBLISH, Proxy

EVERY_WINDOW = "publish:\n  windows: all\n"
QUEUES = "max_queued_messages 100000"


def impatient(most_s: float = 2.0) -> str:
    """The gateway with at most so long between attempts to connect: with a minute, tests of faults mostly wait."""
    return f"""
from gateway.core import backoff
first_s, most_s, uniform = backoff.full_jitter.__defaults__
backoff.full_jitter.__defaults__ = (min(first_s, {most_s}), {most_s}, uniform)
from gateway.__main__ import main
main()
"""


@dataclass
class Line:
    """Everything that is running."""

    broker: Mosquitto
    device: ScriptedServer
    gateway: GatewayProcess
    subscriber: Subscriber
    proxy: Proxy

    def windows(self, device: str = "press") -> list:
        """Windows of a device that have arrived."""
        return self.subscriber.of(f"/{device}/window")

    async def more_windows(self, count: int, deadline_s: float = 20.0) -> None:
        """Wait for `count` further windows."""
        target = len(self.windows()) + count
        await until(
            lambda: len(self.windows()) >= target,
            deadline_s,
            lambda: f"{count} more windows; log: {self.gateway.log()[-1500:]}",
        )


@contextlib.asynccontextmanager
async def running_line(
    folder: Path,
    mosquitto: str,
    *,
    root: str = EVERY_WINDOW,
    tags: int = 5,
    proxied: bool = False,
    broker_lines: str = "",
    more_urls: Sequence[str] = (),
    wide: int = 0,
    extra: str = "",
    **environ: str,
) -> AsyncIterator[Line]:
    """Start all of it; end all of it, whatever happened. The gateway is running, its first windows may be on their way.

    proxied: the gateway reaches the broker through `Line.proxy`, the subscriber without it.
    broker_lines: more of mosquitto.conf. more_urls: further brokers for the gateway, after this one.
    wide: tags of a second device, `wide`; 0 for none. extra: more lines of the first device's file.
    """
    (folder / "broker").mkdir()
    broker = Mosquitto(mosquitto, folder / "broker", persistent=True)
    await broker.start(QUEUES, *([broker_lines] if broker_lines else []))
    async with ScriptedServer(free_port()) as device, Proxy(broker.port, mqtt=True) as proxy:
        url = f"tcp://127.0.0.1:{device.port}"
        upstream = proxy.url if proxied else broker.url
        if more_urls:
            upstream = f"[{', '.join((upstream, *more_urls))}]"
        devices = [Modbus("press", url, tags, interval="200ms", extra=extra)]
        if wide:
            devices.append(Modbus("wide", url, wide, unit=2, interval="500ms"))
        config = write_config(folder, upstream, devices, root=root)
        subscriber = await asyncio.to_thread(lambda: Subscriber(broker.port).wait_ready())
        gateway = GatewayProcess(config, **environ)
        gateway.program = ("-c", impatient())
        gateway.start()
        try:
            yield Line(broker, device, gateway, subscriber, proxy)
        finally:
            gateway.kill()
            subscriber.close()
            broker.stop()


async def slowly(line: Line, count: int) -> None:
    """Let a broker that was refused come back with one message a second until `count` have passed: slow is not lost, and the
    connection stays."""
    passed = 0

    async def pace(up: bool, kind: int, packet: bytes) -> bytes:
        nonlocal passed
        if up and kind == PUBLISH:
            await asyncio.sleep(1)
            passed += 1
        return packet

    line.proxy.meddle = pace
    line.proxy.refuse = False
    connections = line.proxy.connections
    await until(lambda: passed >= count, 90, f"slow messages; {line.gateway.log()[-1500:]}")
    assert line.proxy.connections <= connections + 1, "the connection stays"
    line.proxy.meddle = None
