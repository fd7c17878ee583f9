"""Wiping of files: overwritten in place, then removed."""

import os
import stat
from pathlib import Path
from typing import Final

_PIECE: Final = b"\0" * 2**20


def wipe(path: Path) -> str:
    """Overwrite a file with zeros, have the disk take it, and remove it. Returns what was done, for people. Raises OSError.

    A link is removed and its target left alone, and so is a file of another kind. What a disk keeps of overwritten blocks is
    beyond the reach of any program.
    """
    found = path.lstat()
    if not stat.S_ISREG(found.st_mode):
        path.unlink()
        return "a symbolic link: removed, its target is left" if stat.S_ISLNK(found.st_mode) else "no regular file: removed"
    fd = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        left = found.st_size
        while left > 0:
            left -= os.write(fd, _PIECE[: min(left, len(_PIECE))])
        os.fsync(fd)
    finally:
        os.close(fd)
    path.unlink()
    _sync(path.parent)
    other = f", but it has {found.st_nlink - 1} more names (hard links), empty of content now" if found.st_nlink > 1 else ""
    return f"{found.st_size:,} bytes overwritten, removed{other}"


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
