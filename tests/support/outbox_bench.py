"""Figures of the outbox, printed: `python -m tests.support.outbox_bench [FOLDER]`. Nothing is asserted."""

import asyncio
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from gateway.core.clock import SystemClock
from tests.support.outbox_parts import Rig, message, until

SIZE = 1024
KIB = 1024


def now_ms() -> int:
    return time.time_ns() // 10**6


def written_bytes() -> int:
    """Bytes this process has caused to be written to storage so far."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("write_bytes")))


async def online(rig: Rig, count: int = 50_000) -> None:
    """Each message acknowledged at once, one by one: the worst case of what the queue itself costs."""
    messages = [message(seq, size=SIZE, end_ms=now_ms()) for seq in range(count)]
    rig.outbox.set_live(True)
    before, began = written_bytes(), time.perf_counter()
    for m in messages:
        rig.outbox.put(m)
        for delivery in await rig.outbox.take(1):
            rig.outbox.ack(delivery)
    took = time.perf_counter() - began
    print(f"online: put + take + ack {took / count * 1e6:.2f} us a message; {written_bytes() - before} bytes written")


async def commits(rig: Rig, rounds: int = 20) -> None:
    """Offline: what one group commit costs."""
    rig.outbox.set_live(False)
    times = []
    before = written_bytes()
    for round in range(rounds):
        for seq in range(1000):
            rig.outbox.put(message(round * 1000 + seq, size=SIZE, end_ms=now_ms()))
        began = time.perf_counter()
        await rig.outbox._writer.commit()
        times.append(time.perf_counter() - began)
    size = rounds * 1000 * SIZE
    print(
        f"offline: commit of 1,000 rows of 1 KiB: median {median(times) * 1e3:.1f} ms, worst {max(times) * 1e3:.1f} ms; "
        f"{(written_bytes() - before) / size:.2f} bytes written per payload byte"
    )


async def drain(rig: Rig, count: int) -> None:
    """Backlog from disk, acknowledged at once, while the commit loop deletes."""
    await until(lambda: not rig.outbox._memory.unwritten[0], "everything is on disk")
    rig.outbox.set_live(True)
    began, left = time.perf_counter(), count
    while left:
        taken = await rig.outbox.take(200)
        left -= len(taken)
        for delivery in taken:
            rig.outbox.ack(delivery)
    took = time.perf_counter() - began
    print(f"backlog: {count / took:,.0f} messages/s of 1 KiB drained")


async def start(path: Path) -> None:
    """Open with what an unclean stop left behind."""
    rig = Rig(path, "bench2", SystemClock())
    began = time.perf_counter()
    async with rig:
        took = time.perf_counter() - began
        messages, size = rig.outbox.stats.messages, rig.outbox.stats.disk_bytes
        print(f"start: {took * 1e3:.0f} ms with a backlog of {messages:,} messages, {size / KIB / KIB:.0f} MiB")


async def main(folder: Path) -> None:
    async with Rig(folder / "o.db", "bench", SystemClock()) as rig:
        await online(rig)
        await commits(rig)
        await drain(rig, 20_000)
        await rig.stop()
        for round in range(300):
            for seq in range(1000):
                rig.outbox.put(message(round * 1000 + seq, size=SIZE, end_ms=now_ms()))
            await rig.outbox._writer.commit()
        await rig.crash()
        await start(folder / "o.db")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as temporary:
        asyncio.run(main(Path(temporary)))
