"""What a process that is attacked costs: its memory, and the time of its stop."""

import contextlib
import subprocess
import time
from pathlib import Path

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
