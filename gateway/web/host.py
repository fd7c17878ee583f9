"""What an edge box dies of: heat, a full or worn disk, memory, a wrong clock. Read from Linux's files, without a library."""

import asyncio
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from gateway.web.host_clock import clock_state
from gateway.web.host_disk import usage, wear
from gateway.web.host_links import links

_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_LONGEST_S: Final = 0.2
_THERMAL: Final = Path("/sys/class/thermal")
_THROTTLED: Final = Path("/sys/devices/platform/soc/soc:firmware/get_throttled")
_PACKAGE_THROTTLED: Final = Path("/sys/devices/system/cpu/cpu0/thermal_throttle/package_throttle_count")


class HostReadings:
    """Readings of the machine and of this process. What a machine does not tell is left out."""

    def __init__(self, disk: Path) -> None:
        """disk: a path on the file system that matters, which need not exist yet."""
        self._disk = disk
        self._reading: asyncio.Future[None] | None = None
        self._last: tuple[Mapping[str, tuple[str, float]], Mapping[str, bool]] | None = None

    async def refresh(self) -> None:
        """Read on a thread what `gauges` and `links` return then; a disk that does not answer leaves what was known."""
        if self._reading is None or self._reading.done():
            self._reading = asyncio.ensure_future(asyncio.to_thread(self._read))
        done, _ = await asyncio.wait([self._reading], timeout=_LONGEST_S)
        for one in done:
            one.result()

    def _read(self) -> None:
        self._last = self._gauges(), links()

    def gauges(self) -> Mapping[str, tuple[str, float]]:
        """Return for each name its meaning and its value: as last refreshed, or read now where that was never done."""
        return self._last[0] if self._last is not None else self._gauges()

    def _gauges(self) -> Mapping[str, tuple[str, float]]:
        found: dict[str, tuple[str, float]] = {}
        own = Path("/proc/self")
        if (pages := _number(own / "statm", 1)) is not None:
            found["process_resident_bytes"] = "Memory of this process.", pages * _PAGE
        with suppress(OSError):
            found["process_descriptors"] = "Open descriptors of this process.", len(os.listdir(own / "fd"))
        found["process_cpu_seconds"] = "Processor time of this process.", sum(os.times()[:2])
        if (celsius := _hottest()) is not None:
            found["host_temperature_celsius"] = "The hottest thermal zone.", celsius
        if (throttled := _throttled()) is not None:
            found["host_throttled"] = "1 while the processor is slowed by heat or by too little voltage.", throttled
        if (count := _slowed_down()) is not None:
            found["host_throttle_events"] = "How often the processor was slowed by heat since the machine started.", count
        if (space := usage(self._disk)) is not None:
            found["host_disk_free_bytes"] = "Free space where the outbox is.", space[0]
            found["host_disk_bytes"] = "Size of the file system where the outbox is.", space[1]
        if (used := wear(self._disk)) is not None:
            found["host_disk_wear_ratio"] = "Share of its rated life that the outbox's disk has used at most.", used
        if (clock := clock_state()) is not None:
            found["host_clock_synchronized"] = "1 while a time service keeps the clock.", float(clock.is_synchronized)
            found["host_clock_offset_seconds"] = "What the time service still has to correct.", clock.offset_s
            if clock.most_error_s is not None:
                found["host_clock_error_seconds"] = "How wrong the clock is at most.", clock.most_error_s
        found["host_load1"] = "Load average of a minute.", os.getloadavg()[0]
        return found

    def links(self) -> Mapping[str, bool]:
        """Return for each network interface whether it has a link."""
        return self._last[1] if self._last is not None else links()


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError):
        return ""


def _number(path: Path, place: int = 0) -> float | None:
    words = _text(path).split()
    try:
        return float(words[place])
    except (IndexError, ValueError):
        return None


def _hottest() -> float | None:
    try:
        zones = sorted(_THERMAL.glob("thermal_zone*/temp"))[:32]
    except OSError:
        return None
    found = [value / 1e3 for zone in zones if (value := _number(zone)) is not None]
    return max(found, default=None)


def _throttled() -> float | None:
    """Return 1 while a Raspberry Pi slows down: bits 0 to 3 of its firmware's word are the present."""
    try:
        return float(bool(int(_text(_THROTTLED).strip(), 16) & 0xF))
    except ValueError:
        return None


def _slowed_down() -> float | None:
    """Return how often an x86 package was slowed by its temperature; each of its cores has the same count."""
    return _number(_PACKAGE_THROTTLED)
