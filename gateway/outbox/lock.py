"""The lock of an outbox's path: one gateway at a time."""

import errno
import fcntl
import os
from pathlib import Path
from typing import Final

from gateway.core.errors import ConfigError
from gateway.core.private_files import open_private
from gateway.outbox.files import ADVICE, DISK_TROUBLE, lock_file, schema_of
from gateway.outbox.run_notes import MOST_BYTES
from gateway.outbox.witness import MOST_BYTES as WITNESS_BYTES

_PID_BYTES: Final = 20
_NOTED_FROM: Final = 4
"""The schema of the first files beside which there was a note."""

_DOUBT: Final = b"watermarks uncertain"
_NOTE_AT: Final = 64
_WITNESS_AT: Final = 4096
_FOREIGN: Final = {errno.ELOOP: "a symbolic link", errno.EINVAL: "no regular file", errno.ENXIO: "no regular file"}


class PathLock:
    """One gateway per outbox: an advisory lock (flock) on `<path>.lock`, gone with the process whatever ends it.

    Its file also holds what must be noted while the database takes nothing: a block that is allocated already can be written
    on a full disk, too.
    """

    def __init__(self, path: Path) -> None:
        self._database, self._path = path, lock_file(path)
        self._fd = -1
        self._is_known = False
        self.read_only = False
        """The file system took no writes when the lock was taken."""
        self.witness = b""
        """What the database should hold, see `witness`."""
        self.note = b""
        """What the run before has noted, see `run_notes`."""
        self.was_cut = False
        """There was a database, but no lock as it should be: what was noted is not known."""
        self.in_doubt = False
        """More was handed on than the watermarks in the database allow, in this run or, until it is noted there, before."""

    def acquire(self) -> None:
        """Take the lock. Raises ConfigError when another process (named by pid) has it or the file cannot be made.

        On a full, failing or read-only disk a file from earlier will do. Without one, a full or failing disk does not keep
        the gateway from starting: `renew` takes the lock once there is room.
        """
        self.read_only = False
        try:
            fd = self._open()
        except OSError as error:
            if error.errno in DISK_TROUBLE:
                return
            if error.errno in _FOREIGN:
                raise ConfigError(f"outbox.path: {self._path} is {_FOREIGN[error.errno]}; remove it") from error
            raise ConfigError(f"outbox.path: cannot write {self._path}: {error.strerror}; {ADVICE}") from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(fd, _PID_BYTES, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(fd)
            raise ConfigError(
                f"outbox.path: {self._path} is held by another gateway (pid {holder}); stop it, or set another outbox.path"
            ) from error
        self._fd = fd
        noted = os.pread(fd, len(_DOUBT), _PID_BYTES)
        if not self._is_known:
            self.was_cut = self._is_cut and len(noted) < len(_DOUBT)
            self.note = os.pread(fd, MOST_BYTES, _NOTE_AT)
            self.witness = os.pread(fd, WITNESS_BYTES, _WITNESS_AT)
        self.in_doubt = self.in_doubt or noted == _DOUBT or self.was_cut
        self._is_known = True
        self._sign()

    @property
    def _is_cut(self) -> bool:
        """The note is missing beside a database: a gateway from before schema 4 cuts it off, also when it then refuses."""
        return not self._is_known and schema_of(self._database) >= _NOTED_FROM

    def note_doubt(self, in_doubt: bool) -> None:
        """Set `in_doubt`, here and on the disk. Raises OSError when the disk does not take that either."""
        self.in_doubt = in_doubt
        os.pwrite(self._fd, _DOUBT if in_doubt else b" " * len(_DOUBT), _PID_BYTES)
        os.fdatasync(self._fd)

    def write_note(self, note: bytes) -> None:
        """Replace the note for the next run, here and on the disk. Raises OSError when the disk does not take it."""
        self.note = note
        os.pwrite(self._fd, note.ljust(MOST_BYTES), _NOTE_AT)
        os.fdatasync(self._fd)

    def write_witness(self, text: bytes) -> None:
        """Replace the witness, without waiting for the disk. Raises OSError when the disk does not take it."""
        self.witness = text
        os.pwrite(self._fd, text.ljust(WITNESS_BYTES), _WITNESS_AT)

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
            if isinstance(error.__cause__, OSError) and error.__cause__.errno in (*DISK_TROUBLE, errno.EROFS, errno.ENOENT):
                return  # tried again
            raise
        if old not in {-1, self._fd}:
            os.close(old)

    def _open(self) -> int:
        try:
            return open_private(self._path, os.O_RDWR | os.O_CREAT)
        except OSError as error:
            if error.errno not in (*DISK_TROUBLE, errno.EROFS):
                raise
            self.read_only = error.errno == errno.EROFS
            try:
                return open_private(self._path, os.O_RDONLY)
            except FileNotFoundError:
                raise error from None

    def _sign(self) -> None:
        if fcntl.fcntl(self._fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            return
        try:
            doubt = _DOUBT if self.in_doubt else b" " * len(_DOUBT)
            head = f"{os.getpid()}\n".encode().ljust(_PID_BYTES) + doubt + b"\n"
            text = (head.ljust(_NOTE_AT) + self.note).ljust(_WITNESS_AT) + self.witness.ljust(WITNESS_BYTES)
            os.pwrite(self._fd, text, 0)
        except OSError as error:
            if error.errno not in (*DISK_TROUBLE, errno.EROFS):
                raise
            # the pid is a courtesy: a full disk must not stop the gateway from starting

    def release(self) -> None:
        """Let the next one in. The file stays: removing it would let two hold locks of one name."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def holder_of(path: Path) -> int | None:
    """Return the process of the gateway that has an outbox, None where none runs or the lock's file cannot be read."""
    try:
        fd = os.open(lock_file(path), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.pread(fd, _PID_BYTES, 0).decode("ascii", "replace").strip()
        return int(text) if text.isdecimal() and int(text) > 1 else None
    finally:
        os.close(fd)
    return None
