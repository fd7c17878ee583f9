"""Signals: what is no request to stop stops nothing, and impatience with Ctrl-C is no traceback."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.gateway import ROOT
from tests.support.line import running_line
from tests.support.listener import Listener
from tests.support.network import until


async def test_user_signals_are_ignored_with_a_line_in_the_log_and_sighup_reloads(tmp_path: Path, mosquitto: str) -> None:
    async with running_line(tmp_path, mosquitto) as line:
        await line.more_windows(1)
        assert line.gateway.process is not None
        line.gateway.process.send_signal(signal.SIGHUP)
        await until(lambda: "reason=SIGHUP" in line.gateway.log(), 20, "it is reloaded")
        for number in (signal.SIGUSR1, signal.SIGUSR2):
            line.gateway.process.send_signal(number)
            await until(lambda n=number: f"signal={n.name}" in line.gateway.log(), 10, f"{number.name} is logged")
        await line.more_windows(3)
        assert await asyncio.to_thread(line.gateway.terminate) == 0
        assert len({m.payload["boot"] for m in line.windows()}) == 1


async def test_signals_while_it_starts_end_nothing(tmp_path: Path, mosquitto: str) -> None:
    async with running_line(tmp_path, mosquitto) as line:
        await line.more_windows(1)
        assert line.gateway.process is not None
        line.gateway.terminate()
        line.gateway.start()
        # from the moment on at which the command has begun: before, the interpreter itself ends
        await until(lambda: line.gateway.log().count("event=running") == 2, 30, "it runs")
        line.gateway.process.send_signal(signal.SIGHUP)
        await line.more_windows(2)


class SilentListener(Listener):
    """A device that takes requests and never answers."""

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()


@pytest.mark.parametrize("pause_s", [0.0, 0.05, 0.3])
async def test_two_ctrl_c_end_a_scan_without_a_traceback(pause_s: float) -> None:
    async with SilentListener() as silent:
        words = [sys.executable, "-m", "gateway", "scan", f"tcp://127.0.0.1:{silent.port}", "--last", "200"]
        scan = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT, env=os.environ)
        await until(lambda: silent.open_connections, 40, "it scans")
        for _ in range(3):
            scan.send_signal(signal.SIGINT)
            time.sleep(pause_s)  # what a hurried hand does: it is the subject of the test
        _, errors = await asyncio.to_thread(scan.communicate, timeout=20)
        assert b"Traceback" not in errors, errors.decode()
        assert b"KeyboardInterrupt" not in errors
        assert scan.returncode in (0, 1, 130, -signal.SIGINT)
