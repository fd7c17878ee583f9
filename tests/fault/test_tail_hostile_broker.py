"""`gateway tail` under a broker that attacks it: memory stays, and SIGTERM ends it with a verdict."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fault.test_gateway_hostile_broker import hostile
from tests.support.gateway import ROOT
from tests.support.hostile_broker import ATTACKS, DOCUMENTS, FRAMES
from tests.support.network import until
from tests.support.process_cost import MOST_GROWTH_BYTES, MOST_STOP_S, growth_bytes, mark_memory, stop_s

ATTACK_S = 4.0


@pytest.mark.parametrize(
    ("scheme", "attack"),
    [("mqtt", name) for name in (*DOCUMENTS, *ATTACKS)] + [("ws", name) for name in FRAMES],
)
async def test_a_broker_that_attacks_fills_no_memory_of_tail_and_does_not_hold_it(
    tmp_path: Path, scheme: str, attack: str
) -> None:
    log = tmp_path / "tail.log"
    async with hostile(attack, *(["ws"] if scheme == "ws" else [])) as (broker, port):
        command = [sys.executable, "-m", "gateway", "tail", "--broker", f"{scheme}://127.0.0.1:{port}"]
        with log.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=out, cwd=ROOT) as tail:
            try:
                await until(lambda: "Connected" in log.read_text(errors="replace"), 30, "it follows")
                await asyncio.sleep(0.5)
                memory = mark_memory(tail.pid)
                broker.send_signal(signal.SIGUSR1)
                await asyncio.sleep(ATTACK_S)
                grown = growth_bytes(tail.pid, memory)
                print(attack, grown)
                stopped_s = await asyncio.to_thread(stop_s, tail)
            finally:
                tail.kill()
    assert grown <= MOST_GROWTH_BYTES, grown
    assert stopped_s <= MOST_STOP_S
    assert "Traceback" not in log.read_text(errors="replace")
