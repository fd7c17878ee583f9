"""A disk under SQLite that can be told to refuse, that has bad places, and that tells a platter what it was told.

A VFS (sqlite.org/vfs.html) put before the usual one with ctypes: every read, write, truncation, sync and removal passes
through here, and is done for real as well.
"""

import _sqlite3
import ctypes
import os
import random
import stat
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.platter import Platter

SECTOR = 512
OK, FULL, IOERR_READ, IOERR_WRITE, IOERR_FSYNC = 0, 13, 10 | 1 << 8, 10 | 3 << 8, 10 | 4 << 8

_POINTER = ctypes.c_void_p
_OPEN = ctypes.CFUNCTYPE(ctypes.c_int, _POINTER, _POINTER, _POINTER, ctypes.c_int, _POINTER)
_DELETE = ctypes.CFUNCTYPE(ctypes.c_int, _POINTER, _POINTER, ctypes.c_int)
_WRITE = ctypes.CFUNCTYPE(ctypes.c_int, _POINTER, _POINTER, ctypes.c_int, ctypes.c_int64)
_TRUNCATE = ctypes.CFUNCTYPE(ctypes.c_int, _POINTER, ctypes.c_int64)
_SYNC = ctypes.CFUNCTYPE(ctypes.c_int, _POINTER, ctypes.c_int)


class _Vfs(ctypes.Structure):
    _fields_ = (
        ("version", ctypes.c_int), ("file_size", ctypes.c_int), ("most_name", ctypes.c_int), ("next", _POINTER),
        ("name", ctypes.c_char_p), ("app", _POINTER), ("open", _POINTER), ("delete", _POINTER),
        ("rest", _POINTER * 14),
    )  # fmt: skip


class _Methods(ctypes.Structure):
    _fields_ = (
        ("version", ctypes.c_int), ("close", _POINTER), ("read", _POINTER), ("write", _POINTER), ("truncate", _POINTER),
        ("sync", _POINTER), ("rest", _POINTER * 13),
    )  # fmt: skip


class Disk:
    """calls: how often each operation was done. before: called before each with its name; what it returns is SQLite's answer
    instead of doing it, unless it is OK. bad: places that cannot be read: inode, first byte, the one behind the last."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.before: Callable[[str], int] = lambda operation: OK
        self.bad: list[tuple[int, int, int]] = []
        self.platter = Platter()

    def power_cut(self, folder: Path, chance: random.Random, lies: int = 0) -> None:
        """Write to `folder` what a cut at this moment would leave. lies: so many of the last syncs did nothing."""
        folder.mkdir()
        for name, content in self.platter.cut(chance, chance.choice([SECTOR, 4096]), lies).items():
            (folder / Path(name).name).write_bytes(content)

    def done(self, operation: str, name: str) -> int:
        self.calls[operation] += 1
        return self.before(operation)


@contextmanager
def disk() -> Iterator[Disk]:
    """Every database that is opened meanwhile lies on this disk."""
    library: Any = ctypes.CDLL(_sqlite3.__file__)
    library.sqlite3_vfs_find.restype = ctypes.POINTER(_Vfs)
    usual = library.sqlite3_vfs_find(None)
    shim = _Shim(usual)
    assert library.sqlite3_vfs_register(ctypes.byref(shim.vfs), 1) == OK
    fsync = os.fsync

    def folder_too(fd: int) -> None:
        fsync(fd)
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            shim.disk.platter.folder_synced()

    os.fsync = folder_too
    try:
        yield shim.disk
    finally:
        os.fsync = fsync
        assert library.sqlite3_vfs_unregister(ctypes.byref(shim.vfs)) == OK
        assert library.sqlite3_vfs_register(usual, 1) == OK


class _Shim:
    def __init__(self, usual: Any) -> None:
        self.disk = Disk()
        self._usual = usual
        self._names: dict[int, str] = {}
        self._inodes: dict[int, int] = {}
        self._last_inodes: dict[str, int] = {}
        self._patched: dict[int, _Methods] = {}
        self._originals: dict[int, _Methods] = {}
        self.vfs = _Vfs.from_buffer_copy(usual.contents)
        self.vfs.name, self.vfs.next = b"disk", None
        self._callbacks: list[Any] = []
        self._open, self._delete = _OPEN(usual.contents.open), _DELETE(usual.contents.delete)
        self.vfs.open, self.vfs.delete = self._pointer(_OPEN, self.open), self._pointer(_DELETE, self.delete)

    def _pointer(self, kind: Any, function: Callable[..., int]) -> int | None:
        callback = kind(function)
        self._callbacks.append(callback)  # for as long as SQLite may call it
        return ctypes.cast(callback, _POINTER).value

    def open(self, _: int, name: int | None, file: int, flags: int, out: int) -> int:
        code = self._open(ctypes.addressof(self._usual.contents), name, file, flags, out)
        methods = ctypes.cast(file, ctypes.POINTER(_POINTER))
        if code == OK and name and methods[0]:
            self._names[file] = path = ctypes.string_at(name).decode()
            self._inodes[file] = inode = os.stat(path).st_ino
            if self.disk.platter.file(path) is None or self._last_inodes.get(path) != inode:
                self.disk.platter.made(path, Path(path).read_bytes())
            self._last_inodes[path] = inode
            methods[0] = ctypes.addressof(self._methods(methods[0]))
        return code

    def _methods(self, original: int) -> _Methods:
        if original not in self._patched:
            methods = _Methods.from_address(original)
            read = _WRITE(methods.read)
            write, truncate, sync = _WRITE(methods.write), _TRUNCATE(methods.truncate), _SYNC(methods.sync)
            patched = _Methods.from_buffer_copy(methods)
            patched.read = self._pointer(_WRITE, lambda *a: self.read(read, *a))
            patched.write = self._pointer(_WRITE, lambda *a: self.write(write, *a))
            patched.truncate = self._pointer(_TRUNCATE, lambda *a: self.truncate(truncate, *a))
            patched.sync = self._pointer(_SYNC, lambda *a: self.sync(sync, *a))
            self._patched[original] = patched
        return self._patched[original]

    def read(self, read: Any, file: int, content: int, size: int, at: int) -> int:
        inode = self._inodes[file]
        if any(inode == other and at < end and begin < at + size for other, begin, end in self.disk.bad):
            return IOERR_READ
        return self.disk.done("read", self._names[file]) or int(read(file, content, size, at))

    def write(self, write: Any, file: int, content: int, size: int, at: int) -> int:
        name = self._names[file]
        if code := self.disk.done("write", name):
            return code
        self._told(name, lambda platter, known: platter.wrote(known, at, ctypes.string_at(content, size)))
        return int(write(file, content, size, at))

    def truncate(self, truncate: Any, file: int, size: int) -> int:
        name = self._names[file]
        if code := self.disk.done("truncate", name):
            return code
        self._told(name, lambda platter, known: platter.resized(known, size))
        return int(truncate(file, size))

    def sync(self, sync: Any, file: int, flags: int) -> int:
        name = self._names[file]
        if code := self.disk.done("sync", name):
            return code
        code = int(sync(file, flags))
        if code == OK:
            self._told(name, lambda platter, known: platter.synced(known))
        return code

    def delete(self, _: int, name: int, sync_folder: int) -> int:
        path = ctypes.string_at(name).decode()
        code = int(self._delete(ctypes.addressof(self._usual.contents), name, sync_folder))
        if code == OK and self.disk.platter.file(path) is not None:
            self.disk.platter.removed(path)
            if sync_folder:
                self.disk.platter.folder_synced()
        return code

    def _told(self, name: str, what: Callable[[Platter, Any], None]) -> None:
        if (known := self.disk.platter.file(name)) is not None:
            what(self.disk.platter, known)
