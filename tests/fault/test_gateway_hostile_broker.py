"""The whole gateway under a broker that attacks it: a device beside it is polled as before, memory stays, SIGTERM works."""

import asyncio
import contextlib
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.gateway import ROOT, GatewayProcess, Modbus, write_config
from tests.support.hostile_broker import ATTACKS, FRAMES
from tests.support.neighbour import MOST_GAP_S, MOST_GROWTH_BYTES, MOST_STOP_S, Neighbour, stop_s
from tests.support.network import free_port, until

SPARKPLUG = "publish:\n  windows: all\n  layout: sparkplug\n  sparkplug: {group: hall, qos: 1}\n"
INTERVAL_S = 0.1
UNDISTURBED_S, ATTACK_S = 1.5, 3.0
PROGRAM = """
from gateway.core import backoff
backoff.full_jitter.__defaults__ = (0.2, 0.2, lambda low, high: low)
from gateway.__main__ import main
main()
"""


@contextlib.asynccontextmanager
async def hostile(attack: str, *more: str) -> AsyncIterator[tuple[subprocess.Popen[bytes], int]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.hostile_broker", attack, *more], stdout=subprocess.PIPE, cwd=ROOT
    )
    try:
        assert process.stdout is not None
        yield process, int(await asyncio.to_thread(process.stdout.readline))
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("scheme", "attack"), [*(("mqtt", name) for name in ATTACKS), *(("ws", name) for name in (*FRAMES, next(iter(ATTACKS))))]
)
async def test_a_broker_that_attacks_costs_no_device_a_poll_and_no_memory(tmp_path: Path, scheme: str, attack: str) -> None:
    neighbour = Neighbour(free_port(), INTERVAL_S)
    async with hostile(attack, *(["ws"] if scheme == "ws" else [])) as (broker, port), neighbour.server:
        device = Modbus("press", f"tcp://127.0.0.1:{neighbour.server.port}", 5, interval="100ms")
        config = write_config(tmp_path, f"{scheme}://127.0.0.1:{port}", [device], root=SPARKPLUG)
        gateway = GatewayProcess(config)
        gateway.program = ("-c", PROGRAM)
        with gateway:
            assert gateway.process is not None
            await until(lambda: "sink connected" in gateway.log() and len(neighbour.server.asks) > 10, 20, "it runs")
            neighbour.pid = gateway.process.pid
            undisturbed = await neighbour.measured(UNDISTURBED_S)
            broker.send_signal(signal.SIGUSR1)
            attacked = await neighbour.measured(ATTACK_S)
            print(attack, undisturbed, attacked)
            stopped_s = await asyncio.to_thread(stop_s, gateway.process)
        assert attacked.worst_gap_s <= undisturbed.worst_gap_s + MOST_GAP_S, (attacked, undisturbed)
        assert attacked.growth_bytes <= MOST_GROWTH_BYTES, attacked
        assert gateway.process.returncode == 0
        assert stopped_s <= MOST_STOP_S
        assert "Traceback" not in gateway.log()
