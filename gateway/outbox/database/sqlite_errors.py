"""What SQLite's errors mean here (sqlite.org/rescode.html)."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from gateway.core.errors import GatewayError, Retryable

_DAMAGED: Final = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_TOOBIG}
"""The last two: a row is there that the gateway has not written, or is larger than anything that it writes."""

_UNREADABLE: Final = {
    sqlite3.SQLITE_IOERR_READ, sqlite3.SQLITE_IOERR_SHORT_READ, sqlite3.SQLITE_IOERR_CORRUPTFS, sqlite3.SQLITE_IOERR_DATA,
}  # fmt: skip
"""A part of the file that the disk does not give back."""

_UNWRITABLE: Final = {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM}
_REFUSED: Final = {
    sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL,
}  # fmt: skip


class DamagedError(GatewayError):
    """The database file is broken. It is set aside, and a new one is started."""


class MovedError(DamagedError):
    """The database file was deleted or moved; what is open can still be read."""


class SealBrokenError(DamagedError):
    """The file was changed by somebody without its key, or part of it is older than the rest."""


class LogGoneError(Retryable):
    """The write-ahead log was deleted or replaced; what is open can still be read, and closing it saves what it has."""


class UnwritableError(Retryable):
    """The file may not be written or made."""


@contextmanager
def translated(*also_damaged: int) -> Iterator[None]:
    """Raise SQLite's errors as ours; what is none of the disk's doing stays what it is: a bug."""
    try:
        yield
    except UnicodeDecodeError as error:  # a text of the file, or SQLite's message with a name from the file in it
        raise DamagedError(f"there is a text in it that is not UTF-8 ({error.reason})") from error
    except sqlite3.DatabaseError as error:
        whole = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK)
        code = whole & 0xFF
        if code in _DAMAGED or whole in _UNREADABLE or code in also_damaged:
            raise DamagedError(str(error)) from error
        if whole == sqlite3.SQLITE_READONLY_DBMOVED:
            raise MovedError("the file was moved or deleted") from error
        if code in _UNWRITABLE:
            raise UnwritableError(str(error)) from error
        if code in _REFUSED:
            raise Retryable(str(error)) from error
        raise
