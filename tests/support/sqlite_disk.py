"""A disk under SQLite that can be told to refuse, and that knows what a power cut would leave of its files.

A VFS (sqlite.org/vfs.html) put before the usual one with ctypes: every write, truncation, sync and removal passes through
here, and is done for real as well. Of what was not synced a power cut may leave anything: each 512-byte sector of each
write is there or not, in any order; truncations and removals have happened or not. What was synced is there.
"""

import _sqlite3
import ctypes
import os
import random
import stat
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SECTOR = 512
OK, FULL, IOERR_WRITE, IOERR_FSYNC = 0, 13, 10 | 3 << 8, 10 | 4 << 8

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


@dataclass
class _File:
    """synced: the content that is safe, None for no file. later: what was done since, writes as (offset, content),
    truncations as (size, None). removed: and not yet known to be so."""

    synced: bytearray | None = None
    later: list[tuple[int, bytes | None]] = field(default_factory=list)
    removed: bool = False

    def sync(self) -> None:
        self.synced = _after(self.synced or bytearray(), self.later)
        self.later = []

    def cut(self, chance: random.Random) -> bytearray | None:
        """What is left of it."""
        if self.removed and chance.random() < 0.5:
            return None
        if self.synced is None and chance.random() < 0.5:
            return None
        kept: list[tuple[int, bytes | None]] = []
        share = chance.choice((0.0, 0.5, 0.95, 1.0))
        for at, content in self.later:
            if content is None:
                kept += [(at, None)] if chance.random() < share else []
                continue
            ends = [*range((at // SECTOR + 1) * SECTOR, at + len(content), SECTOR), at + len(content)]
            begin = at
            for end in ends:
                if chance.random() < share:
                    kept.append((begin, content[begin - at : end - at]))
                begin = end
        return _after(self.synced or bytearray(), kept)


def _after(content: bytearray, changes: list[tuple[int, bytes | None]]) -> bytearray:
    result = bytearray(content)
    for at, data in changes:
        size = at if data is None else at + len(data)
        if data is None:
            del result[at:]
        result.extend(bytes(max(0, size - len(result))))
        if data is not None:
            result[at:size] = data
    return result


class Disk:
    """calls: how often each operation was done. before: called before each with its name; what it returns is SQLite's answer
    instead of doing it, unless it is OK."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.before: Callable[[str], int] = lambda operation: OK
        self.files: dict[str, _File] = {}

    def power_cut(self, folder: Path, chance: random.Random) -> None:
        """Write to `folder` what a cut at this moment would leave."""
        folder.mkdir()
        for name, file in self.files.items():
            content = file.cut(chance)
            if content is not None:
                (folder / Path(name).name).write_bytes(content)

    def folder_synced(self) -> None:
        """What was removed stays removed."""
        self.files = {name: file for name, file in self.files.items() if not file.removed}

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
            shim.disk.folder_synced()

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
            known = self.disk.files.setdefault(path, _File())
            if known.synced is None or known.removed:
                content = Path(path).read_bytes()
                known.synced, known.removed = bytearray(content) if content else None, False
            methods[0] = ctypes.addressof(self._methods(methods[0]))
        return code

    def _methods(self, original: int) -> _Methods:
        if original not in self._patched:
            methods = _Methods.from_address(original)
            write, truncate, sync = _WRITE(methods.write), _TRUNCATE(methods.truncate), _SYNC(methods.sync)
            patched = _Methods.from_buffer_copy(methods)
            patched.write = self._pointer(_WRITE, lambda *a: self.write(write, *a))
            patched.truncate = self._pointer(_TRUNCATE, lambda *a: self.truncate(truncate, *a))
            patched.sync = self._pointer(_SYNC, lambda *a: self.sync(sync, *a))
            self._patched[original] = patched
        return self._patched[original]

    def write(self, write: Any, file: int, content: int, size: int, at: int) -> int:
        name = self._names[file]
        if code := self.disk.done("write", name):
            return code
        self.disk.files[name].later.append((at, ctypes.string_at(content, size)))
        return int(write(file, content, size, at))

    def truncate(self, truncate: Any, file: int, size: int) -> int:
        name = self._names[file]
        if code := self.disk.done("truncate", name):
            return code
        self.disk.files[name].later.append((size, None))
        return int(truncate(file, size))

    def sync(self, sync: Any, file: int, flags: int) -> int:
        name = self._names[file]
        if code := self.disk.done("sync", name):
            return code
        code = int(sync(file, flags))
        if code == OK:
            self.disk.files[name].sync()
        return code

    def delete(self, _: int, name: int, sync_folder: int) -> int:
        path = ctypes.string_at(name).decode()
        code = int(self._delete(ctypes.addressof(self._usual.contents), name, sync_folder))
        if code == OK and path in self.disk.files:
            self.disk.files[path].removed = True
            if sync_folder:
                self.disk.folder_synced()
        return code
