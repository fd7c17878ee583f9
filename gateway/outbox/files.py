"""The outbox's files: folder, database, and what happens to a damaged one."""

import errno
import os
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from gateway.core.errors import ConfigError
from gateway.core.os_errors import os_reason
from gateway.core.private_files import open_private

KEPT_DAMAGED: Final = 3
"""Damaged files that stay for people to look at; older ones go, or a failing disk would be filled by them."""

DISK_TROUBLE: Final = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG)
ADVICE: Final = "make it and give it to the user the gateway runs as, or set another outbox.path"
_PARTS: Final = ("", "-wal", "-shm")
_FOLDER_MODE: Final = 0o700
_SQLITE: Final = b"SQLite format 3\0"


def lock_file(path: Path) -> Path:
    """Return the file that is locked. It is never removed, so it also shows that a gateway has used the path."""
    return path.with_name(path.name + ".lock")


def check_path(path: Path) -> None:
    """Refuse a path that is not ours to replace.

    Raises ConfigError when `path` is anything but a regular file or missing, or holds something that is no SQLite database
    although no gateway has ever used that path.
    """
    try:
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            raise ConfigError(f"outbox.path: {path} is a symbolic link; name the file itself, or remove the link")
        if not stat.S_ISREG(mode):
            kind = "a folder; name a file in it" if stat.S_ISDIR(mode) else "no regular file; name another one"
            raise ConfigError(f"outbox.path: {path} is {kind}")
        with path.open("rb") as file:
            begins = file.read(len(_SQLITE))
    except FileNotFoundError:
        return
    except PermissionError as error:
        raise ConfigError(f"outbox.path: cannot read {path}: {error.strerror}; {ADVICE}") from error
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno in DISK_TROUBLE:
            return
        why = os_reason(error) if isinstance(error, OSError) else "no file can have this name"
        raise ConfigError(f"outbox.path: {str(path)!r} cannot be used: {why}") from error
    if begins and begins != _SQLITE and not lock_file(path).exists():
        raise ConfigError(f"outbox.path: {path} is another program's file; set another path or move the file away")


def own_files(path: Path) -> list[Path]:
    """Return the database and all files beside it that bear its name: log, lock, damaged ones, what the sink refused."""
    try:
        beside = sorted(path.parent.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [one for one in beside if one.name == path.name or one.name.startswith((f"{path.name}-", f"{path.name}."))]


def schema_of(path: Path) -> int:
    """Return the schema in the header of a database (SQLite file format, 1.3), 0 where it cannot be read."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return 0
    try:
        return int.from_bytes(os.pread(fd, 4, 60), "big", signed=True)
    except OSError:
        return 0
    finally:
        os.close(fd)


def make_folder(path: Path) -> None:
    """Make the folder of `path`. Raises ConfigError saying what to do."""
    try:
        path.parent.mkdir(_FOLDER_MODE, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"outbox.path: cannot make the folder {path.parent}: {error.strerror}; {ADVICE}") from error
    except ValueError as error:  # a null byte
        raise ConfigError(f"outbox.path: {str(path)!r} cannot be used: no file can have this name") from error


def may_write(path: Path) -> bool:
    """Return whether the permissions are there, so that only the disk's state can keep us from writing the database."""
    parts = [part for name in _PARTS if (part := path.with_name(path.name + name)).exists()]
    return os.access(path.parent, os.W_OK | os.X_OK) and all(os.access(part, os.R_OK | os.W_OK) for part in parts)


def make_private(path: Path) -> None:
    """Make the database's file when missing, for the own user only; SQLite gives its log the same rights.

    Raises OSError, also when it is a link or no regular file.
    """
    os.close(open_private(path, os.O_RDWR | os.O_CREAT))


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
