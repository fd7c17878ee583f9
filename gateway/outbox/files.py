"""The outbox's files: folder, lock, and what happens to a damaged database."""

import errno
import fcntl
import os
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from gateway.core.errors import ConfigError

KEPT_DAMAGED: Final = 3
"""Damaged files that stay for people to look at; older ones go, or a failing disk would be filled by them."""

_DISK_TROUBLE: Final = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG)
_PARTS: Final = ("", "-wal", "-shm")


_SQLITE: Final = b"SQLite format 3\0"
_PID_BYTES: Final = 20
_DOUBT: Final = b"watermarks uncertain"


def check_path(path: Path) -> None:
    """Refuse a path that is not ours to replace.

    Raises ConfigError when `path` is anything but a regular file or missing, or holds something that is no SQLite database
    although no gateway has ever used that path.
    """
    try:
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            kind = "a folder; name a file in it" if stat.S_ISDIR(mode) else "no regular file; name another one"
            raise ConfigError(f"outbox.path: {path} is {kind}")
        with path.open("rb") as file:
            begins = file.read(len(_SQLITE))
    except FileNotFoundError:
        return
    except PermissionError as error:
        raise ConfigError(f"outbox.path: cannot read {path}: {error.strerror}; {_ADVICE}") from error
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno in _DISK_TROUBLE:
            return
        raise ConfigError(f"outbox.path: {str(path)!r} cannot be used: {error}") from error
    if begins and begins != _SQLITE and not PathLock.name_for(path).exists():
        raise ConfigError(f"outbox.path: {path} is another program's file; set another path or move the file away")


def make_folder(path: Path) -> None:
    """Make the folder of `path`. Raises ConfigError saying what to do."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"outbox.path: cannot make the folder {path.parent}: {error.strerror}; {_ADVICE}") from error
    except ValueError as error:  # a null byte
        raise ConfigError(f"outbox.path: {str(path)!r} cannot be used: {error}") from error


def may_write(path: Path) -> bool:
    """Return whether the permissions are there, so that only the disk's state can keep us from writing the database."""
    parts = [part for name in _PARTS if (part := path.with_name(path.name + name)).exists()]
    return os.access(path.parent, os.W_OK | os.X_OK) and all(os.access(part, os.R_OK | os.W_OK) for part in parts)


_ADVICE: Final = "make it and give it to the user the gateway runs as, or set another outbox.path"


class PathLock:
    """One gateway per outbox: an advisory lock (flock) on `<path>.lock`, gone with the process whatever ends it.

    Its file also holds one bit that must be noted while the database takes nothing: a block that is allocated already can be
    written on a full disk, too.
    """

    def __init__(self, path: Path) -> None:
        self._path = self.name_for(path)
        self._fd = -1
        self.read_only = False
        """The file system took no writes when the lock was taken."""
        self.in_doubt = False
        """More was handed on than the watermarks in the database allow, in this run or, until it is noted there, before."""

    @staticmethod
    def name_for(path: Path) -> Path:
        """Return the file that is locked. It is never removed, so it also shows that a gateway has used the path."""
        return path.with_name(path.name + ".lock")

    def acquire(self) -> None:
        """Take the lock. Raises ConfigError when another process (named by pid) has it or the file cannot be made.

        On a full, failing or read-only disk a file from earlier will do. Without one, a full or failing disk does not keep
        the gateway from starting: `keep` takes the lock once there is room.
        """
        self.read_only = False
        try:
            fd = self._open()
        except OSError as error:
            if error.errno in _DISK_TROUBLE:
                return
            raise ConfigError(f"outbox.path: cannot write {self._path}: {error.strerror}; {_ADVICE}") from error
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise ConfigError(f"outbox.path: {self._path} is no regular file; remove it")
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(fd, _PID_BYTES, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(fd)
            raise ConfigError(
                f"outbox.path: {self._path} is held by another gateway (pid {holder}); stop it, or set another outbox.path"
            ) from error
        self._fd = fd
        self.in_doubt = self.in_doubt or os.pread(fd, len(_DOUBT), _PID_BYTES) == _DOUBT
        self._sign()

    def note_doubt(self, in_doubt: bool) -> None:
        """Set `in_doubt`, here and on the disk. Raises OSError when the disk does not take that either."""
        self.in_doubt = in_doubt
        os.pwrite(self._fd, _DOUBT if in_doubt else b" " * len(_DOUBT), _PID_BYTES)
        os.fdatasync(self._fd)

    def renew(self) -> None:
        """Take the lock again if its file was deleted or replaced. Raises ConfigError when another gateway has it by now."""
        try:
            mine, there = os.fstat(self._fd), self._path.stat()
            if os.path.samestat(mine, there):
                return
        except FileNotFoundError:
            pass
        except OSError:
            if self._fd >= 0:
                return  # the folder cannot be read at present
        old = self._fd
        try:
            self.acquire()
        except ConfigError as error:
            if isinstance(error.__cause__, OSError) and error.__cause__.errno in (*_DISK_TROUBLE, errno.EROFS, errno.ENOENT):
                return  # tried again
            raise
        if old not in {-1, self._fd}:
            os.close(old)

    def _open(self) -> int:
        try:
            return os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NONBLOCK, 0o640)
        except OSError as error:
            if error.errno not in (*_DISK_TROUBLE, errno.EROFS):
                raise
            self.read_only = error.errno == errno.EROFS
            try:
                return os.open(self._path, os.O_RDONLY | os.O_NONBLOCK)
            except FileNotFoundError:
                raise error from None

    def _sign(self) -> None:
        if fcntl.fcntl(self._fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            return
        try:
            doubt = _DOUBT if self.in_doubt else b" " * len(_DOUBT)
            os.pwrite(self._fd, f"{os.getpid()}\n".encode().ljust(_PID_BYTES) + doubt + b"\n", 0)
        except OSError as error:
            if error.errno not in (*_DISK_TROUBLE, errno.EROFS):
                raise
            # the pid is a courtesy: a full disk must not stop the gateway from starting

    def release(self) -> None:
        """Let the next one in. The file stays: removing it would let two hold locks of one name."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def sync_folder(path: Path) -> None:
    """Make durable that files beside `path` were made and removed. Raises OSError.

    SQLite does not: its rollback journal, needed until the file is in WAL mode, could come back after a power cut and undo
    what was written since.
    """
    fd = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def set_aside(path: Path, now_ns: int) -> Path | None:
    """Rename a damaged database and its log to `<name>.damaged-<UTC time>`; returns the new path, None if it was gone.

    Raises OSError when the folder does not let it.
    """
    stamp = datetime.fromtimestamp(now_ns / 1e9, UTC).strftime("%Y%m%dT%H%M%SZ")
    target = path.with_name(f"{path.name}.damaged-{stamp}")
    count = 2
    while target.exists():
        target = path.with_name(f"{path.name}.damaged-{stamp}-{count}")
        count += 1
    moved = False
    for part in _PARTS:
        try:
            path.with_name(path.name + part).rename(target.with_name(target.name + part))
        except FileNotFoundError:
            continue
        moved = True
    _forget_oldest(path)
    return target if moved else None


def remove(path: Path) -> None:
    """Delete a database and its log. Raises OSError when the folder does not let it."""
    for part in _PARTS:
        path.with_name(path.name + part).unlink(missing_ok=True)


def _forget_oldest(path: Path) -> None:
    damaged = [p for p in path.parent.glob(f"{path.name}.damaged-*") if not p.name.endswith(_PARTS[1:])]
    damaged.sort(key=lambda p: p.stat().st_mtime_ns)
    for old in damaged[:-KEPT_DAMAGED]:
        remove(old)
