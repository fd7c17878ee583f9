"""The whole gateway under a broker that attacks it: a device beside it is polled as before, memory stays, SIGTERM works."""

import asyncio
import contextlib
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.hostile.plant import MOST_GROWTH_BYTES, MOST_ONCE_S, MOST_STOP_S, MOST_WAIT_S, SPANS, Neighbour
from tests.support.gateway import ROOT, GatewayProcess, Modbus, write_config
from tests.support.hostile_broker import ATTACKS, FRAMES
from tests.support.network import until
from tests.support.process_cost import growth_bytes, mark_memory, stop_s

SPARKPLUG = "publish:\n  windows: all\n  layout: sparkplug\n  sparkplug: {group: hall, qos: 1}\n"
ATTACK_S = 3.0
CARRY_NOTHING = {
    "acknowledgements of nothing",
    "answers to no question",
    "empty frames",
    "pings, answers not read",
    "long pings, answers not read",
}
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
    neighbour = Neighbour()
    try:
        async with hostile(attack, *(["ws"] if scheme == "ws" else [])) as (broker, port):
            device = Modbus("press", f"tcp://127.0.0.1:{neighbour.port}", 5, interval="50ms")
            gateway = GatewayProcess(write_config(tmp_path, f"{scheme}://127.0.0.1:{port}", [device], root=SPARKPLUG))
            gateway.program = ("-c", PROGRAM)
            with gateway:
                assert gateway.process is not None
                pid = gateway.process.pid
                neighbour.tell(f"watch {pid}")
                neighbour.tell("reset")
                await until(lambda: "sink connected" in gateway.log() and neighbour.report().polls > 10, 20, gateway.log)
                memory = mark_memory(pid)
                neighbour.tell("reset")
                broker.send_signal(signal.SIGUSR1)
                waits_s = []
                for _ in range(SPANS):
                    await asyncio.sleep(ATTACK_S / SPANS)
                    waits_s.append(neighbour.report().owed_s)
                    neighbour.tell("reset")
                growth = growth_bytes(pid, memory)
                print(attack, waits_s, growth)
                stopped_s = await asyncio.to_thread(stop_s, gateway.process)
    finally:
        neighbour.close()
    assert min(waits_s) <= MOST_WAIT_S, waits_s
    assert max(waits_s) <= MOST_ONCE_S, waits_s
    assert growth <= MOST_GROWTH_BYTES
    assert gateway.process.returncode == 0
    assert stopped_s <= MOST_STOP_S
    assert "Traceback" not in gateway.log()
    assert ("the broker sends what carries nothing" in gateway.log()) == (attack in CARRY_NOTHING)
