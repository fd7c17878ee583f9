"""Files that the gateway writes itself: for its user only, and never through a link that somebody else has put there."""

import errno
import os
import stat
from pathlib import Path
from typing import Final

_MODE: Final = 0o600
_OTHERS: Final = 0o077


def open_private(path: Path, flags: int) -> int:
    """Return a descriptor of a regular file, made or opened for the own user only, whatever the umask.

    flags: of open(2). A symbolic link is not followed, and a pipe keeps nobody waiting. Raises OSError, of which ELOOP is a
    link and EINVAL something else that is no regular file.
    """
    fd = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, _MODE)
    try:
        _make_private(fd)
    except OSError:
        os.close(fd)
        raise
    return fd


def _make_private(fd: int) -> None:
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "no regular file")
    if found.st_mode & _OTHERS and found.st_uid == os.geteuid():
        try:
            os.fchmod(fd, _MODE)
        except OSError as error:
            if error.errno != errno.EROFS:
                raise


def append_private(path: Path, content: bytes) -> None:
    """Append to a private file, which is made when missing. Raises OSError as `open_private`."""
    with os.fdopen(open_private(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT), "ab") as file:
        file.write(content)


def write_private(path: Path, content: bytes) -> None:
    """Write a private file anew, whole or not at all, so that it is there after a power cut. Raises OSError."""
    fresh = path.with_name(path.name + ".new")
    with os.fdopen(open_private(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def size_of(path: Path) -> int:
    """Return the size of a file, bytes; 0 where there is none. A link is not followed."""
    try:
        return path.lstat().st_size
    except FileNotFoundError:
        return 0
