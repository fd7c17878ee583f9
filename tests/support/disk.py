"""A disk that forgets what was not synced, and one that fails when told: the log of tests/c/disk.c, and its switches."""

import ctypes
import json
import os
import random
import shutil
import struct
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import IntFlag
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "c" / "disk.c"
_HEAD = struct.Struct("<cqqI")


class Calls(IntFlag):
    """Kinds of calls that can be made to fail."""

    WRITES = 1
    SYNCS = 2
    OPENS = 4
    TRUNCATES = 8
    NAMES = 16
    ALL = 31


def compiled(folder: Path) -> Path | None:
    """The library to preload, built; None where there is no compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        return None
    library = folder / "disk.so"
    command = [compiler, "-O1", "-shared", "-fPIC", "-o", str(library), str(SOURCE), "-ldl", "-lpthread"]
    return library if subprocess.run(command, capture_output=True, check=False).returncode == 0 else None


def preloaded(library: Path, root: Path, log: Path | None = None) -> dict[str, str]:
    """Environment of a process whose files below `root` are on the disk under test. log: where changes are written down."""
    environment = {**os.environ, "LD_PRELOAD": str(library), "DISK_ROOT": str(root)}
    return environment if log is None else {**environment, "DISK_LOG": str(log)}


class Switches:
    """The disk as the process that stands on it sees it."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(None)
        self._library.disk_fail.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long]
        self._library.disk_met.restype = ctypes.c_long

    def fail(self, calls: Calls, error: int, after: int = 0, count: int = -1) -> None:
        """Let `count` calls of these kinds fail with `error` (-1: all), `after` so many have succeeded."""
        self._library.disk_fail(int(calls), error, after, count)

    def heal(self) -> None:
        """Nothing fails any more."""
        self._library.disk_fail(0, 0, 0, 0)

    @property
    def met(self) -> int:
        """Calls of these kinds since `fail`."""
        return int(self._library.disk_met())

    def mark(self, *what: object) -> None:
        """Note in the log what has been promised by now."""
        self._library.disk_mark(json.dumps(what).encode())


@dataclass(frozen=True, slots=True)
class Record:
    """One line of the log, as described in disk.c."""

    kind: str
    a: int
    b: int
    body: bytes


def records(log: Path) -> Iterator[Record]:
    """What was written down; a record cut short by the end of its process is left out."""
    content = log.read_bytes()
    at = 0
    while at + _HEAD.size <= len(content):
        kind, a, b, length = _HEAD.unpack_from(content, at)
        at += _HEAD.size
        if at + length <= len(content):
            yield Record(kind.decode(), a, b, content[at : at + length])
        at += length


@dataclass(eq=False)
class _File:
    """What is safe, and in order what is not: (offset, bytes), or a new size."""

    safe: bytearray
    unsafe: list[tuple[int, bytes] | int] = field(default_factory=list)


class Platter:
    """Files as a power cut would leave them, followed through a log.

    Safe is: content at the last sync of its file, names at the last sync of the folder. Of all else anything may
    survive: names in their order up to any point (a journalling file system), content in any order, torn at `block`
    bytes, holes read as zeros.
    """

    def __init__(self, files: dict[str, bytes]) -> None:
        self._names = {name: _File(bytearray(content)) for name, content in files.items()}
        self._safe_names = dict(self._names)
        self._unsafe_names: list[dict[str, _File]] = []
        self._fds: dict[int, _File | None] = {}
        self._last: tuple[int, bytes] | None = None

    def apply(self, record: Record) -> None:
        """The next change; marks change nothing."""
        self._last = None
        match record.kind:
            case "O":
                self._open(record.a, record.body.decode(), bool(record.b))
            case "W" if file := self._fds[record.a]:
                self._last = record.b, record.body
                file.unsafe.append(self._last)
            case "T" if file := self._fds[record.a]:
                file.unsafe.append(record.b)
            case "S":
                self._sync(self._fds[record.a])
            case "R":
                source, target = record.body.decode().split("\0")
                self._rename(source, target)
            case "U":
                self._named({name: file for name, file in self._names.items() if name != record.body.decode()})

    def cut(self, chance: random.Random, block: int) -> dict[str, bytes]:
        """The files after a power cut now."""
        survives = chance.choice([0.0, 0.1, 0.5, 0.9, 1.0])
        names = chance.choice([self._safe_names, *self._unsafe_names])
        files = {name: self._torn(file, chance, survives, block) for name, file in names.items()}
        for name in files:
            if name.endswith("-shm"):  # memory shared through a mapping: what is on the disk is anybody's guess
                files[name] = chance.randbytes(chance.choice([0, 32768]))
        return files

    def kept(self, chance: random.Random) -> dict[str, bytes]:
        """The files after a SIGKILL now: the system has everything, but for the last write, which may have got half-way."""
        files = {}
        for name, file in self._names.items():
            changes = list(file.unsafe)
            if changes and self._last is not None and changes[-1] is self._last:
                offset, content = self._last
                changes[-1] = offset, content[: chance.randrange(len(content) + 1)]
            whole = bytearray(file.safe)
            _write(whole, changes)
            files[name] = bytes(whole)
        return files

    def _open(self, fd: int, path: str, made: bool) -> None:
        if made:
            self._named({**self._names, path: _File(bytearray())})
        self._fds[fd] = self._names.get(path)

    def _rename(self, source: str, target: str) -> None:
        names = dict(self._names)
        names[target] = names.pop(source)
        self._named(names)

    def _named(self, names: dict[str, _File]) -> None:
        self._names = names
        self._unsafe_names.append(names)

    def _sync(self, file: _File | None) -> None:
        if file is None:
            self._safe_names, self._unsafe_names = self._names, []
        else:
            _write(file.safe, file.unsafe)
            file.unsafe = []

    @staticmethod
    def _torn(file: _File, chance: random.Random, survives: float, block: int) -> bytes:
        content = bytearray(file.safe)
        pieces = (piece for change in file.unsafe for piece in _pieces(change, block))
        _write(content, (piece for piece in pieces if chance.random() < survives))
        return bytes(content)


def _pieces(change: tuple[int, bytes] | int, block: int) -> Iterator[tuple[int, bytes] | int]:
    if isinstance(change, int):
        yield change
        return
    offset, content = change
    at = 0
    while at < len(content):
        end = (offset + at) // block * block + block - offset
        yield offset + at, content[at:end]
        at = end


def _write(content: bytearray, changes: Iterable[tuple[int, bytes] | int]) -> None:
    for change in changes:
        if isinstance(change, int):
            del content[change:]
            content.extend(bytes(change - len(content)))
        else:
            offset, piece = change
            content.extend(bytes(max(0, offset - len(content))))
            content[offset : offset + len(piece)] = piece
