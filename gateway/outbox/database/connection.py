"""An open SQLite file: its connection, its place in the file system, its size. The only file that knows aiosqlite."""

import asyncio
import errno
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any, Final

import aiosqlite

from gateway.core.errors import Retryable
from gateway.core.undo import undone_on_error
from gateway.outbox.database.schema import PAGE_BYTES
from gateway.outbox.database.sqlite_errors import DamagedError, LogGoneError, MovedError, UnwritableError, translated
from gateway.outbox.files import DISK_TROUBLE, make_private, sync_folder
from gateway.outbox.records import Usage

_COPY_PAGES: Final = 4096


class Database:
    """No call overlaps another, and none may be cancelled half-way.

    Every method raises Retryable when the disk refuses (full, read-only, locked, I/O error; nothing has changed then)
    and DamagedError when the file is broken.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._db: aiosqlite.Connection | None = None
        self._pages = (0, 0)
        self._log = path.with_name(path.name + "-wal")
        self._inode = self._log_inode = 0

    @property
    def is_open(self) -> bool:
        """Return whether there is a connection to the file."""
        return self._db is not None

    @property
    def disk_bytes(self) -> int:
        """Return the size of the database file, bytes, as of the last commit."""
        return self._pages[0] * PAGE_BYTES

    async def _connect(self) -> None:
        try:
            await asyncio.to_thread(make_private, self._path)
        except OSError as error:
            if error.errno in DISK_TROUBLE:
                raise Retryable(f"{self._path}: {error.strerror}") from error
            raise UnwritableError(f"{self._path}: {error.strerror}") from error
        self._db = await aiosqlite.connect(self._path, isolation_level=None)

    @property
    def is_moved(self) -> bool:
        """Return whether the open file is not at its path any more: SQLite would go on writing to a file without a name."""
        if self._db is None:
            return False
        try:
            return os.stat(self._path).st_ino != self._inode
        except FileNotFoundError:
            return True
        except OSError:
            return False  # a write will tell

    async def write_again(self, most_s: float) -> None:
        """Copy the database that is open, but moved or deleted, to its path, where there is no file.

        The copy has then to be opened. Raises also DamagedError when that takes longer than `most_s` seconds; what was begun
        is removed.
        """
        deadline = time.monotonic() + most_s

        def in_time(*_: int) -> None:
            if time.monotonic() > deadline:
                raise DamagedError(f"the file was moved or deleted, and writing it again took longer than {most_s:g} s")

        make_private(self._path)
        with (
            undone_on_error(lambda: self._path.unlink(missing_ok=True)),  # half a copy would be opened as if it were whole
            translated(),
            closing(sqlite3.connect(self._path, check_same_thread=False)) as copy,
        ):
            await self._database.backup(copy, pages=_COPY_PAGES, progress=in_time)

    def usage(self) -> Usage:
        """Bytes on disk as of the last commit, and what the file system has left at this moment."""
        count, free = self._pages
        if self.is_moved:
            raise MovedError("the file was deleted or moved")
        try:
            room = os.statvfs(self._path.parent)
            log = self._log.stat()
        except FileNotFoundError as error:
            raise LogGoneError("the write-ahead log was deleted or moved") from error
        except OSError as error:
            raise Retryable(f"{self._path.parent}: {error.strerror}") from error
        if log.st_ino != self._log_inode:
            raise LogGoneError("the write-ahead log was replaced")
        disk = room.f_bavail * room.f_frsize, room.f_blocks * room.f_frsize
        return Usage((count - free) * PAGE_BYTES, count * PAGE_BYTES, log.st_size, *disk)

    async def shrink(self) -> None:
        """Give the file's unused space back. Cheap only when there are no messages."""
        with translated():
            await self._rows("VACUUM")
            await self._rows("PRAGMA wal_checkpoint(TRUNCATE)")
            self._pages = await self._measured()

    async def close(self) -> None:
        """Close the file, whatever state it is in. Never raises."""
        db, self._db = self._db, None
        if db is not None:
            try:
                await db.close()
            except sqlite3.Error:
                return  # nothing to save: what was committed is on disk

    @property
    def _database(self) -> aiosqlite.Connection:
        if self._db is None:
            raise Retryable("the database is not open")
        return self._db

    async def _rows(self, sql: str, values: Iterable[object] = ()) -> list[Any]:
        return list(await self._database.execute_fetchall(sql, values))

    async def _many(self, sql: str, rows: Iterable[Iterable[object]]) -> None:
        rows = list(rows)
        if rows:
            async with self._database.executemany(sql, rows):
                pass

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[None]:
        """Commit what the block does, whole or not at all; also cancelled, as the next one cannot begin in this one."""
        await self._rows("BEGIN IMMEDIATE")
        is_committed = False
        try:
            yield
            await self._before_commit()
            await self._rows("COMMIT")
            is_committed = True
        finally:
            self._after_transaction(is_committed)
            if not is_committed and self._db is not None and self._db.in_transaction:
                with translated():
                    await self._rows("ROLLBACK")

    async def _before_commit(self) -> None:
        """Write what belongs into every transaction, at its end."""

    def _after_transaction(self, is_committed: bool) -> None:
        """Take over what `_before_commit` has written, or forget it."""

    async def _measured(self) -> tuple[int, int]:
        pages, unused = await self._rows("PRAGMA page_count"), await self._rows("PRAGMA freelist_count")
        return pages[0][0], unused[0][0]

    def _sync_folder(self) -> None:
        try:
            sync_folder(self._path)
        except OSError as error:
            if error.errno != errno.EINVAL:  # a file system that knows no such thing
                raise Retryable(f"{self._path.parent}: {error.strerror}") from error
