"""The outbox: wear of the disk, speed of a backlog, start and memory with a large one. Each in a process of its own."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.bench.figures import Bench, Figure
from tests.bench.outbox_backlog import DRAINED
from tests.bench.outbox_work import DEVICES

_ON = f"{DEVICES * 100:,} tags in {DEVICES} devices, windows of 1 s, every tag sent"
_ACKS = "PUBACK after 0.5 s, but none for 3 s in every 10 min"


def _work(*name: str, module: str = "tests.bench.outbox_work") -> dict[str, float]:
    """Run a work of a module in a folder on disk: /tmp may be memory, where nothing counts as written."""
    Path("build").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=Path("build").resolve()) as folder:
        command = [sys.executable, "-m", module, *name, folder]
        out = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    return json.loads(out.splitlines()[-1])  # type: ignore[no-any-return]


def _writes() -> Iterator[Figure]:
    per_hour = {}
    for name in ("online", "offline", "plain"):
        done = _work(name)
        per_hour[name] = done["bytes"] * 3600 / done["seconds"]
    plain = per_hour["plain"]
    yield Figure("outbox_write_mb_per_hour_online", per_hour["online"] / 2**20, "MiB/h", f"{_ON}, {_ACKS}")
    yield Figure("outbox_write_mb_per_hour_offline", per_hour["offline"] / 2**20, "MiB/h", f"{_ON}, no broker, first minute")
    on = f"{_ON}; inserted and deleted, each in one commit a second: {plain / 2**20:,.0f} MiB/h; outbox: {_ACKS}"
    yield Figure("outbox_write_reduction", plain / per_hour["online"], "ratio", on, ">= 50")


def _drain() -> Iterator[Figure]:
    done = _work(module="tests.bench.outbox_drain")
    rate = done["backlog"] / done["seconds"]
    on = (
        f"{_ON}, 90 devices polled each second, 10 ten times, one process; {done['backlog']:,} messages to mosquitto at "
        f"{rate:,.0f}/s, {done['cpu'] / done['backlog'] * 1e6:.0f} us CPU each, polling and live windows included"
    )
    yield Figure("outbox_drain_ratio", rate / DEVICES, "ratio", on, ">= 100")
    before = f"{done['quiet_missed']} of {done['quiet_polls']}, {done['quiet_late_ms']:.0f} ms"
    on = f"of {done['polls']:,} in {done['seconds']:.1f} s, the latest {done['late_ms']:.0f} ms late; just before: {before}"
    yield Figure("outbox_drain_missed_polls", done["missed"], "polls", on, "0")
    on = f"the slowest of {done['live']:,} live messages meanwhile, from put to PUBACK"
    yield Figure("outbox_live_delay_ms", done["live_delay_ms"], "ms", on)


def _start() -> Iterator[Figure]:
    """OUTBOX_ROWS sets the size: `make bench ONLY=outbox_start OUTBOX_ROWS=10000000` (5 GB in build/, some minutes)."""
    done = _work("start")
    on = f"{done['rows']:,.0f} messages waiting, {done['file_mb']:,.0f} MiB, after an unclean stop"
    opening = max(done["open_s, oldest-first"], done["open_s, newest-first"])
    yield Figure("outbox_start_s", opening, "s", on, "< 2 with 10,000,000")
    opened = max(done["opened_mb, oldest-first"], done["opened_mb, newest-first"])
    on = f"{on}: resident memory beyond that before it was opened"
    yield Figure("outbox_opened_mb", opened, "MiB", on, "flat")
    growth = max(done["growth_mb, oldest-first"], done["growth_mb, newest-first"])
    draining = max(done["draining_mb, oldest-first"], done["draining_mb, newest-first"])
    rate = min(done["drained_per_s, oldest-first"], done["drained_per_s, newest-first"])
    on = f"{on}, draining {DRAINED:,} at {rate:,.0f}/s, either order; in the second half {growth:.1f} MiB more"
    yield Figure("outbox_memory_mb", draining, "MiB", on, "flat")
    on = f"`gateway outbox stats` on {done['rows']:,.0f} messages, start of the interpreter included"
    yield Figure("outbox_stats_s", done["stats_s"], "s", on)
    on = (
        f"the longest of {done['ceiling_commits']:.0f} commits of 100 windows/s while such a backlog is a tenth above"
        f" max_bytes; {done['thinned']:,.0f} merged, {done['lost']:,.0f} dropped"
    )
    yield Figure("outbox_ceiling_commit_ms", done["ceiling_commit_ms"], "ms", on)
    on = "the slowest live message meanwhile, from put until the publisher has it"
    yield Figure("outbox_ceiling_live_ms", done["ceiling_live_delay_ms"], "ms", on)


_START = (
    "outbox_start_s", "outbox_opened_mb", "outbox_memory_mb", "outbox_stats_s", "outbox_ceiling_commit_ms",
    "outbox_ceiling_live_ms",
)  # fmt: skip

BENCHES = (
    Bench(("outbox_write_mb_per_hour_online", "outbox_write_mb_per_hour_offline", "outbox_write_reduction"), _writes),
    Bench(("outbox_drain_ratio", "outbox_drain_missed_polls", "outbox_live_delay_ms"), _drain),
    Bench(_START, _start),
)
