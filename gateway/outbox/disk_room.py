"""How much of an outage the disk has room for, before anything runs: what `check` and the start warn of."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from gateway.core.private_files import size_of
from gateway.outbox.config import OutboxConfig
from gateway.outbox.records import Usage
from gateway.outbox.retention import WAL_RESERVE_BYTES, ceiling, footprint, kept_free

_TAG_BYTES: Final = 36
_PLAIN_TAG_BYTES: Final = 144
_HEAD_BYTES: Final = 90
"""A window as it is kept: a quarter of the 14 kB that 100 noisy tags take, and as much without compression."""

_FORGETFUL: Final = {
    **dict.fromkeys(("tmpfs", "ramfs"), "it is memory, and what waits is lost when the machine stops; expected a disk"),
    **dict.fromkeys(("overlay", "aufs"), "it goes with its container; expected a volume"),
    **dict.fromkeys(
        ("nfs", "nfs4", "cifs", "smb3", "9p", "vboxsf", "virtiofs"),
        "SQLite cannot rely on its locks and syncs, and the file can be damaged; expected a disk of this machine",
    ),
}
"""Kinds of file systems on which store-and-forward is not what it promises, with the reason."""

_NS_PER_HOUR: Final = 3_600_000_000_000


def bytes_per_hour(config: OutboxConfig, tags: Sequence[int], window_ns: int) -> float:
    """Return the disk space that an hour of windows takes at most. tags: how many each device has."""
    per_tag = _TAG_BYTES if config.compress else _PLAIN_TAG_BYTES
    windows = sum(footprint(_HEAD_BYTES + per_tag * count) for count in tags if count)
    return windows * _NS_PER_HOUR / window_ns


def disk_usage(path: Path) -> Usage | None:
    """Return what the outbox has and the disk offers at `path`, which need not exist; None where that cannot be seen."""
    folder = path.parent
    while not os.path.isdir(folder) and folder != folder.parent:
        folder = folder.parent
    try:
        found, file = os.statvfs(folder), size_of(path)
    except OSError:
        return None
    return Usage(file, file, 0, found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize)


def storage_faults(path: Path, mounts: Path = Path("/proc/self/mounts")) -> list[str]:
    """Return why messages cannot be kept at `path`, or not for long: no rights, a file system that forgets. Sentences.

    mounts: the mounted file systems, as fstab(5) has them.
    """
    folder = path.parent
    while not os.path.isdir(folder) and folder != folder.parent:
        folder = folder.parent
    faults = []
    target = path if path.exists() else folder
    if not os.access(target, os.W_OK):
        faults.append(f"this user may not write to {target}: nothing survives an outage, a stop or a crash")
    kind = _file_system(folder, mounts)
    if kind in _FORGETFUL:
        faults.append(f"{folder} is on {kind}: {_FORGETFUL[kind]}")
    return faults


def _file_system(folder: Path, mounts: Path) -> str:
    """Return the kind of file system that a folder lies on, empty where that cannot be seen."""
    try:
        lines = mounts.read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    real, found = os.path.realpath(folder), ("", "")
    for fields in (line.split(" ") for line in lines):
        if len(fields) < 3:
            continue
        place = fields[1].replace("\\040", " ")
        if (real == place or real.startswith(place.rstrip("/") + "/")) and len(place) >= len(found[0]):
            found = place, fields[2]  # of equal places the last one is on top
    return found[1]


def shortage_text(config: OutboxConfig, usage: Usage, tags: Sequence[int], window_ns: int, *, merges: bool = True) -> str:
    """Return what cannot be kept on this disk, as a sentence; an empty text where `max_bytes` finds room.

    merges: old windows are merged before they are dropped.
    """
    room, cause = ceiling(config, usage)
    if cause == "max_bytes":
        return ""
    free = f"{usage.free // 2**20} MiB are free, {kept_free(config, usage) // 2**20} MiB of these are left to others"
    reserve = f"{WAL_RESERVE_BYTES // 2**20} MiB to SQLite's log"
    if room < WAL_RESERVE_BYTES // 8:
        return f"has no room for messages: {free} (keep_free) and {reserve}; nothing survives an outage, a stop or a crash"
    per_hour = bytes_per_hour(config, tags, window_ns)
    hours = f"about {_rounded(room / per_hour)} of all windows" if per_hour else "an unknown time"
    room_text = f"has room for {room // 2**20} MiB, not for max_bytes ({config.max_bytes // 2**20} MiB)"
    kept = f"of an outage {hours} are kept, longer ones are {'merged, then ' if merges else ''}dropped"
    return f"{room_text}: {free} (keep_free), {reserve}; {kept}"


def _rounded(hours: float) -> str:
    return f"{hours:.0f} h" if hours >= 10 else f"{hours:.1f} h"
