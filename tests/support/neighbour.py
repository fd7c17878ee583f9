"""What a well-behaved device gets while the gateway is attacked: gaps between its polls, and the gateway's memory."""

import asyncio
import contextlib
import itertools
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from tests.support.modbus_server import Ask, ScriptedServer

MOST_GAP_S = 0.1
MOST_GROWTH_BYTES = 64 << 20
MOST_STOP_S = 5.0


def stop_s(process: "subprocess.Popen[bytes]", deadline_s: float = 30.0) -> float:
    """SIGTERM; returns the seconds until its end, without those in which others had the processors."""
    begin, stolen = time.monotonic(), _stolen_s(process.pid)
    now = stolen
    process.terminate()
    while time.monotonic() < begin + deadline_s:
        with contextlib.suppress(OSError):
            now = _stolen_s(process.pid)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.02)
            break
    return time.monotonic() - begin - (now - stolen)


def _stolen_s(pid: int) -> float:
    """How long a process's main thread has been ready to run while others had the processors, seconds."""
    return int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[1]) / 1e9


def _memory(pid: int, key: str) -> int:
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith(f"{key}:"))
    return int(line.split()[1]) * 1024


def mark_memory(pid: int) -> int:
    """Let the highest memory of a process count from now (proc(5)); returns what it has, bytes."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
    return _memory(pid, "VmRSS")


def growth_bytes(pid: int, memory: int) -> int:
    """Highest memory since `mark_memory`, above what there was then."""
    return _memory(pid, "VmHWM") - memory


@dataclass(frozen=True, slots=True)
class Measured:
    """One span of time."""

    polls: int
    worst_gap_s: float
    """Beyond the interval, and beyond what the machine took from the gateway or from this process meanwhile."""
    growth_bytes: int
    """Highest memory of the span above the memory at its begin."""
    held_s: float
    """Processor time of the gateway."""


class Neighbour:
    """A Modbus device that is polled every `interval_s`, and notes when."""

    def __init__(self, port: int, interval_s: float) -> None:
        self.server = ScriptedServer(port, self._answer)
        self._interval_s = interval_s
        self.pid = 0
        self._polls: list[tuple[float, float]] = []

    async def _answer(self, ask: Ask, writer: asyncio.StreamWriter) -> None:
        if self.pid:
            self._polls.append((time.monotonic(), _stolen_s(self.pid) + _stolen_s(os.getpid())))
        writer.write(ask.good())

    async def measured(self, span_s: float) -> Measured:
        """Watch for `span_s` seconds. A span in which polls stop ends with a gap up to its end."""
        memory = mark_memory(self.pid)
        begin, used = len(self._polls), self._used_s()
        self._polls.append((time.monotonic(), _stolen_s(self.pid) + _stolen_s(os.getpid())))
        await asyncio.sleep(span_s)
        polls = [*self._polls[begin:], (time.monotonic(), _stolen_s(self.pid) + _stolen_s(os.getpid()))]
        gaps = [
            late - early - (stolen_late - stolen_early) - self._interval_s
            for (early, stolen_early), (late, stolen_late) in itertools.pairwise(polls)
        ]
        return Measured(len(polls) - 2, max(gaps), growth_bytes(self.pid, memory), self._used_s() - used)

    def _used_s(self) -> float:
        ticks = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")
