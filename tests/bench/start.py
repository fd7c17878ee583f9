"""The gateway's event loop with 50,000 tags: how long it stands still while it starts, runs and stops."""

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import uvloop

from gateway.app import main_loop
from gateway.settings import load
from tests.bench.figures import Bench, Figure
from tests.bench.modbus import serving
from tests.bench.opcua_start import Turns
from tests.support.gateway import Modbus, write_config
from tests.support.mosquitto import Mosquitto

_DEVICES, _TAGS, _RUN_S = 10, 5000, 20.0


async def _run(config: Path) -> float:
    """Longest stand-still in seconds."""
    turns = Turns()
    running = asyncio.create_task(main_loop.run(load(config)))
    ticking = asyncio.create_task(turns.run())
    await asyncio.sleep(_RUN_S)
    os.kill(os.getpid(), signal.SIGTERM)
    await running
    ticking.cancel()
    return turns.longest_s


def _stalls() -> Iterator[Figure]:
    binary = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin")
    assert binary, "mosquitto is needed: make servers"
    with tempfile.TemporaryDirectory() as name, serving() as port:
        folder = Path(name)
        (folder / "broker").mkdir()
        broker = Mosquitto(binary, folder / "broker")
        asyncio.run(broker.start("max_queued_messages 100000"))
        devices = [Modbus(f"m{n}", f"tcp://127.0.0.1:{port}", _TAGS, unit=n + 1) for n in range(_DEVICES)]
        config = write_config(folder, broker.url, devices)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            longest_s = runner.run(_run(config))
        broker.stop()
    on = f"{_DEVICES} Modbus devices x {_TAGS:,} tags at 1 s, start, run and stop, CPU time between two turns of the loop"
    yield Figure("longest_stall_ms_50k", longest_s * 1e3, "ms", on, "<= 100")


BENCHES = (Bench(("longest_stall_ms_50k",), _stalls),)
