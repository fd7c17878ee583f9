"""The disk on which the outbox is: its space, and how much of its life is used, where it says so."""

import os
import shutil
from pathlib import Path
from typing import Final

SYSFS: Final = Path("/sys")
_LONGEST_CHAIN: Final = 4
_STEPS: Final = 0x0B
"""JEDEC eMMC 5.1, 7.4.76: 0x01 is up to a tenth of the rated life, 0x0B more than all of it."""


def usage(path: Path) -> tuple[float, float] | None:
    """Return free and all bytes of the file system of a path, which need not exist yet."""
    for place in (path, *path.parents):
        try:
            found = shutil.disk_usage(place)
        except OSError:
            continue
        return found.free, found.total
    return None


def wear(path: Path, sysfs: Path = SYSFS) -> float | None:
    """Return the share of its rated life that the disk of a path has used at most, 1.1 for more than all.

    An eMMC says so in sysfs; of others nothing is known without privileges.
    """
    disk = _disk_of(path, sysfs)
    if disk is None:
        return None
    try:
        steps = [int(word, 16) for word in (disk / "device" / "life_time").read_text().split()]
    except (OSError, ValueError):
        return None
    known = [step for step in steps if 0 < step <= _STEPS]
    return max(known) / 10 if known else None


def _disk_of(path: Path, sysfs: Path) -> Path | None:
    """Return the folder in sysfs of the whole disk on which a path is: of a partition's, or of the first below a volume."""
    for place in (path, *path.parents):
        try:
            device = place.stat().st_dev
        except OSError:
            continue
        break
    else:
        return None
    try:
        found = (sysfs / "dev" / "block" / f"{os.major(device)}:{os.minor(device)}").resolve(strict=True)
        for _ in range(_LONGEST_CHAIN):
            if (found / "partition").exists():
                found = found.parent
            below = sorted((found / "slaves").iterdir()) if (found / "slaves").is_dir() else []
            if not below:
                return found
            found = below[0].resolve(strict=True)
    except OSError:
        return None
    return None
