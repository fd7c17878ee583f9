"""What a disk keeps: the one model of power cuts and kills, whoever writes down what the disk was told.

Two recorders feed it: `disk.py`, below the C library, sees every call of a process; `sqlite_disk.py`, in SQLite's own file
layer, sees what SQLite asks for, in the process of the test.
"""

import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

Change = tuple[int, bytes] | int
"""A write as (offset, bytes), or a new size."""


@dataclass(eq=False)
class _File:
    """safe: the content at the last sync. unsafe: what was done since, in order. believed: what was done before, on top of
    `first`, each with the number of the sync that confirmed it."""

    safe: bytearray
    first: bytes = b""
    unsafe: list[Change] = field(default_factory=list)
    believed: list[tuple[int, Change]] = field(default_factory=list)


class Platter:
    """Files as they are found after a cut.

    Honest disk: safe is content at the last sync of its file, names at the last sync of their folder. Of all else anything
    may survive: content in any order, torn at `block` bytes, holes read as zeros; names in their order up to any point (a
    journalling file system), or each for itself (another).
    Lying disk: the same, but the last syncs have done nothing.
    """

    def __init__(self, files: Mapping[str, bytes] = {}) -> None:
        self._names = {name: _File(bytearray(content), content) for name, content in files.items()}
        self._safe_names = dict(self._names)
        self._unsafe_names: list[dict[str, _File]] = []
        self._last: tuple[int, bytes] | None = None
        self._syncs = 0

    # -- what it is told

    def file(self, name: str) -> _File | None:
        """What lies under a name at present."""
        return self._names.get(name)

    def made(self, name: str, content: bytes = b"") -> None:
        """A file was made, or found with a content that is safe."""
        self._named({**self._names, name: _File(bytearray(content), content)})
        if content:
            self.folder_synced()

    def wrote(self, file: _File, offset: int, content: bytes) -> None:
        """A write."""
        self._last = (offset, content)
        file.unsafe.append(self._last)

    def resized(self, file: _File, size: int) -> None:
        """A truncation."""
        self._last = None
        file.unsafe.append(size)

    def synced(self, file: _File) -> None:
        """fsync of a file."""
        self._syncs += 1
        _write(file.safe, file.unsafe)
        file.believed += ((self._syncs, change) for change in file.unsafe)
        file.unsafe = []

    def folder_synced(self) -> None:
        """fsync of the folder."""
        self._safe_names, self._unsafe_names = self._names, []

    def renamed(self, source: str, target: str) -> None:
        """A file got another name."""
        names = dict(self._names)
        names[target] = names.pop(source)
        self._named(names)

    def removed(self, name: str) -> None:
        """A name went."""
        self._named({other: file for other, file in self._names.items() if other != name})

    def quiet(self) -> None:
        """Something happened that changes nothing: the last write was whole."""
        self._last = None

    # -- what is left

    def cut(self, chance: random.Random, block: int, lies: int = 0) -> dict[str, bytes]:
        """The files after a power cut now. lies: so many of the last syncs did nothing."""
        survives = chance.choice([0.0, 0.1, 0.5, 0.9, 1.0])
        honest = self._syncs - lies
        files = {
            name: self._torn(file, chance, survives, block, honest) for name, file in self._surviving_names(chance).items()
        }
        for name in files:
            if name.endswith("-shm"):  # memory shared through a mapping: what is on the disk is anybody's guess
                files[name] = chance.randbytes(chance.choice([0, 32768]))
        return files

    def before_syncs(self, count: int) -> dict[str, bytes]:
        """The files as a disk that lies has them which forgets all since so many syncs ago, and nothing before."""
        return {name: self._torn(file, random.Random(), 0.0, 1, self._syncs - count) for name, file in self._names.items()}

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

    def _surviving_names(self, chance: random.Random) -> dict[str, _File]:
        if chance.random() < 0.5:
            return chance.choice([self._safe_names, *self._unsafe_names])
        both = {*self._safe_names, *self._names}
        kept = ((name, chance.choice([self._safe_names, self._names]).get(name)) for name in sorted(both))
        return {name: file for name, file in kept if file is not None}

    def _named(self, names: dict[str, _File]) -> None:
        self._last = None
        self._names = names
        self._unsafe_names.append(names)

    def _torn(self, file: _File, chance: random.Random, survives: float, block: int, honest: int) -> bytes:
        content, unsafe = file.safe, list(file.unsafe)
        if file.believed and file.believed[-1][0] > honest:
            content = bytearray(file.first)
            _write(content, (change for sync, change in file.believed if sync <= honest))
            unsafe = [change for sync, change in file.believed if sync > honest] + unsafe
        content = bytearray(content)
        pieces = (piece for change in unsafe for piece in _pieces(change, block))
        _write(content, (piece for piece in pieces if chance.random() < survives))
        return bytes(content)


def _pieces(change: Change, block: int) -> Iterator[Change]:
    if isinstance(change, int):
        yield change
        return
    offset, content = change
    at = 0
    while at < len(content):
        end = (offset + at) // block * block + block - offset
        yield offset + at, content[at:end]
        at = end


def _write(content: bytearray, changes: Iterable[Change]) -> None:
    for change in changes:
        if isinstance(change, int):
            del content[change:]
            content.extend(bytes(change - len(content)))
        else:
            offset, piece = change
            content.extend(bytes(max(0, offset - len(content))))
            content[offset : offset + len(piece)] = piece
