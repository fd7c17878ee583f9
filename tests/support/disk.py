"""The disk of tests/c/disk.c, below the C library of a process: the log of what it was told, and its switches."""

import ctypes
import json
import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntFlag
from pathlib import Path
from typing import Any

from tests.support.platter import Platter

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


class Follower:
    """Tells a platter what a log says."""

    def __init__(self, platter: Platter) -> None:
        self.platter = platter
        self._files: dict[int, Any] = {}

    def apply(self, record: Record) -> None:
        """The next change; marks change nothing."""
        platter, file = self.platter, self._files.get(record.a)
        match record.kind:
            case "O":
                name = record.body.decode()
                if record.b:
                    platter.made(name)
                self._files[record.a] = platter.file(name)
            case "W" if file:
                platter.wrote(file, record.b, record.body)
            case "T" if file:
                platter.resized(file, record.b)
            case "S":
                platter.synced(file) if file else platter.folder_synced()
            case "R":
                platter.renamed(*record.body.decode().split("\0"))
            case "U":
                platter.removed(record.body.decode())
        if record.kind != "W":
            platter.quiet()
