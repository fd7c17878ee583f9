"""Orderly and other ends of the whole gateway."""

import asyncio
import itertools
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from gateway.audit.ledger import Ledger
from tests.support.gateway import GatewayProcess, Modbus, write_config
from tests.support.line import running_line
from tests.support.network import free_port, until


async def test_sigterm_flushes_the_open_window_says_offline_and_exits_with_0(tmp_path: Path, mosquitto: str) -> None:
    """The window in progress is published, the status says offline, and the next start reports nothing unclean."""
    async with running_line(tmp_path, mosquitto) as line:
        await line.more_windows(2)
        stopped_ms = time.time() * 1000
        assert await asyncio.to_thread(line.gateway.terminate) == 0
        await until(lambda: line.subscriber.of("/status")[-1].payload["state"] == "offline", 5, "offline")
        assert line.subscriber.of("/status")[-1].payload["reason"] == "stopped"
        assert line.windows()[-1].payload["ts"] + 1000 > stopped_ms - 50, "the open window came"
        line.gateway.start()
        await line.more_windows(2)
        assert not [m for m in line.subscriber.of("/test/event") if m.payload["kind"] == "unclean_stop"]
        assert len({m.payload["boot"] for m in line.windows()}) == 2


async def test_sigterm_without_a_broker_keeps_everything_for_the_next_start(tmp_path: Path, mosquitto: str) -> None:
    """The stop is bounded, exits with 0, and the windows made without a broker arrive after the next start."""
    async with running_line(tmp_path, mosquitto) as line:
        await line.more_windows(2)
        line.broker.stop()
        asks = len(line.device.asks)
        await until(lambda: len(line.device.asks) > asks + 15, 20, "three seconds of polls")
        begin = time.monotonic()
        assert await asyncio.to_thread(line.gateway.terminate) == 0
        assert time.monotonic() - begin < 15
        await line.broker.start()
        line.gateway.start()
        first_boot = line.windows()[0].payload["boot"]
        await line.more_windows(6)
        ledger = Ledger(from_start=True)
        for m in line.windows():
            ledger.add(m.topic, m.payload, is_repeated=False, is_kept=False)
        assert not any(row.missing for row in ledger.report().rows)
        kept = [m.payload["hist"] for m in line.windows() if m.payload["boot"] == first_boot][-3:]
        assert kept == [True] * 3


def test_a_stop_that_cannot_keep_what_waits_says_so(tmp_path: Path) -> None:
    """No broker, and a disk that must not be written."""
    config = write_config(tmp_path, f"mqtt://127.0.0.1:{free_port()}", [Modbus("press", "tcp://127.0.0.1:1", 1)])
    with GatewayProcess(config, GATEWAY__OUTBOX__KEEP_FREE="900TiB") as gateway:
        deadline = time.monotonic() + 30
        while "device=press state=down" not in gateway.log():
            assert time.monotonic() < deadline, gateway.log()
            time.sleep(0.1)
        assert gateway.terminate() == 3
    assert "messages are lost with this stop" in gateway.log()
    assert "Traceback" not in gateway.log()


def test_an_interrupt_before_anything_runs_is_no_bug() -> None:
    for wait_s in (0.05, 0.15, 0.3, 0.5):
        process = subprocess.Popen(
            [sys.executable, "-m", "gateway", "schema"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        time.sleep(wait_s)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)
        assert b"Traceback" not in said or b"gateway/" not in said, said


async def test_sigkill_costs_at_most_the_promised_interval_and_is_reported(tmp_path: Path, mosquitto: str) -> None:
    """Twelve kills at random moments: per kill the open window and one commit interval at most; each one is an event."""
    chance = random.Random(20261121)
    kills: dict[str, float] = {}
    async with running_line(tmp_path, mosquitto) as line:
        for _ in range(12):
            seen = len(line.windows())
            await until(lambda: len(line.windows()) > seen + 1, 20, "windows of this boot")  # noqa: B023
            await asyncio.sleep(chance.uniform(0, 1))
            boot = line.subscriber.of("/status")[-1].payload["boot"]
            line.gateway.kill()
            kills[boot] = time.time() * 1000
            line.gateway.start()
        await line.more_windows(4)
        reported = {m.payload["previous"] for m in line.subscriber.of("/test/event") if m.payload["kind"] == "unclean_stop"}
        assert reported == set(kills)
        bound_ms = next(
            m.payload["bound_ms"] for m in line.subscriber.of("/test/event") if m.payload["kind"] == "unclean_stop"
        )
        assert bound_ms == 2500
        for boot, killed_ms in kills.items():
            windows = [m.payload for m in line.windows() if m.payload["boot"] == boot]
            seqs = sorted({w["seq"] for w in windows})
            assert seqs == list(range(1, len(seqs) + 1)), "only the end of a boot may be missing"
            last_end = max(w["ts"] + w["dur"] for w in windows)
            assert killed_ms - last_end <= bound_ms, (boot, killed_ms - last_end)
        ledger = Ledger(from_start=True)
        for m in itertools.chain(line.subscriber.of("/event"), line.windows()):
            ledger.add(m.topic, m.payload, is_repeated=False, is_kept=False)
        assert ledger.report().complete, ledger.report()


async def test_sigkill_while_the_broker_is_away_loses_no_more_than_the_interval(tmp_path: Path, mosquitto: str) -> None:
    """What was committed before the kill arrives after the next start, marked hist."""
    async with running_line(tmp_path, mosquitto) as line:
        await line.more_windows(2)
        line.broker.stop()
        boot = line.windows()[0].payload["boot"]
        asks = len(line.device.asks)
        await until(lambda: len(line.device.asks) > asks + 25, 20, "five seconds of polls")
        line.gateway.kill()
        killed_ms = time.time() * 1000
        await line.broker.start()
        line.gateway.start()
        await line.more_windows(5)
        windows = [m.payload for m in line.windows() if m.payload["boot"] == boot]
        seqs = sorted({w["seq"] for w in windows})
        assert seqs == list(range(1, len(seqs) + 1))
        assert killed_ms - max(w["ts"] + w["dur"] for w in windows) <= 2500
        assert all(w["hist"] for w in windows[-2:])


BUG = """
import time
from gateway.cli.main import app
from gateway.runtime.pipeline import Pipeline

begin = time.monotonic()

def broken(self):
    if time.monotonic() - begin > 4:
        raise RuntimeError("a bug")

Pipeline._watch_clock = broken
app(prog_name="gateway")
"""


async def test_a_bug_that_ends_the_process_is_no_clean_stop(tmp_path: Path, mosquitto: str) -> None:
    """Traceback, exit code 1, the last will says offline, and the next start says that this one ended badly."""
    async with running_line(tmp_path, mosquitto) as line:
        await line.more_windows(1)
        assert await asyncio.to_thread(line.gateway.terminate) == 0
        line.gateway.program = ("-c", BUG)
        line.gateway.start()
        assert line.gateway.process is not None
        assert await asyncio.to_thread(line.gateway.process.wait, 30) == 1
        assert "RuntimeError: a bug" in line.gateway.log()
        offline = "the last will; " + line.gateway.log()[-500:]
        await until(lambda: line.subscriber.of("/status")[-1].payload.get("reason") == "connection lost", 10, offline)
        boot = line.subscriber.of("/status")[-1].payload["boot"]
        line.gateway.program = ("-m", "gateway")
        line.gateway.start()
        await line.more_windows(2)
        unclean = [m.payload for m in line.subscriber.of("/test/event") if m.payload["kind"] == "unclean_stop"]
        assert [event["previous"] for event in unclean] == [boot]
