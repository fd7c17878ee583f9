"""Which file holds what waits for which sink, when there are several: `<outbox.path>.sinks`."""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, NamedTuple

import orjson

from gateway.core.bounded_file import read_bounded
from gateway.core.private_files import write_private
from gateway.outbox.files import sync_folder

_SUFFIX: Final = ".sinks"
_MOST_BYTES: Final = 2**16
_NAME: Final = re.compile(r"[a-z0-9_-]{1,64}")
_MARK: Final = "@"
"""Between the name of the first file and that of a sink; no file that SQLite or the outbox makes beside one has it."""


class SinkName(NamedTuple):
    """A sink as far as its file is concerned."""

    name: str
    """Its name."""
    was: str = ""
    """The name that it had before, empty for none."""
    begins_with_backlog: bool = False
    """When it is new, it begins with what waits for others."""


@dataclass(frozen=True, slots=True)
class SinkFiles:
    """The files of all sinks, those of sinks that are configured no more included."""

    files: Mapping[str, str]
    """Names of files by the name of a sink."""
    filling: frozenset[str] = frozenset()
    """Sinks whose files do not yet have the backlog that they begin with."""
    is_written: bool = True
    """They are from the index, not from the names of files."""
    fault: str = field(default="", compare=False)
    """Why the index cannot be used, though there is one."""

    def without(self, name: str) -> "SinkFiles":
        """Return them without a sink."""
        files = {of: file for of, file in self.files.items() if of != name}
        return replace(self, files=files, filling=self.filling - {name})

    def filled(self, name: str) -> "SinkFiles":
        """Return them with a sink that has the backlog that it begins with."""
        return replace(self, filling=self.filling - {name})


class Assignment(NamedTuple):
    """The files for the sinks of a configuration."""

    known: SinkFiles
    """To be written before any of the files is opened."""
    paths: Mapping[str, Path]
    """The file of each sink."""
    removed: Mapping[str, Path]
    """Files of sinks that are configured no more."""
    added: frozenset[str]
    """Sinks that are new."""
    renamed: Mapping[str, str]
    """The names that sinks had before, by their names now."""
    is_known: bool
    """It is as it was when the gateway ran last, and written."""


def index_file(path: Path) -> Path:
    """Return the file beside an outbox that says which file is whose."""
    return path.with_name(path.name + _SUFFIX)


def read_files(path: Path, first: str) -> SinkFiles:
    """Return which files there are. Blocks.

    first: the sink whose file `path` is where nothing else is written. Where the index cannot be read, the names of the
    files say whose they are.
    """
    fault = "two sinks have one file, or one that lies elsewhere"
    try:
        body = orjson.loads(read_bounded(index_file(path), _MOST_BYTES))
        files = {str(name): str(file) for name, file in body["files"].items()}
        if all(_is_ours(path, *one) for one in files.items()) and len(set(files.values())) == len(files):
            return SinkFiles(files, frozenset(map(str, body["filling"])))
    except (FileNotFoundError, NotADirectoryError):
        fault = ""
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        fault = str(error) or type(error).__name__
    return SinkFiles(_found(path, first), is_written=False, fault=fault)


def write_files(path: Path, known: SinkFiles) -> None:
    """Write which files there are, whole or not at all, to stay. Blocks. Raises OSError."""
    write_private(index_file(path), orjson.dumps({"files": dict(known.files), "filling": sorted(known.filling)}))
    sync_folder(path)


def assign(path: Path, known: SinkFiles, sinks: Sequence[SinkName]) -> Assignment:
    """Return the files for sinks. A renamed one goes on with its file; a new one gets a file that is nobody's. Pure."""
    files, added, renamed = dict(known.files), set[str](), dict[str, str]()
    for sink in sinks:
        if sink.name not in files and sink.was in files:
            files[sink.name] = files.pop(sink.was)
            renamed[sink.name] = sink.was
    filling = {renamed_name(name, renamed) for name in known.filling}
    for sink in sinks:
        if sink.name not in files:
            is_filled = sink.begins_with_backlog and bool(known.files)
            files[sink.name] = _free(path, sink.name, files.values(), may_be_first=not is_filled)
            added.add(sink.name)
            filling |= {sink.name} if is_filled else set()
    names = [sink.name for sink in sinks]
    paths = {name: path.with_name(files[name]) for name in names}
    removed = {name: path.with_name(file) for name, file in files.items() if name not in paths}
    now = replace(known, files=files, filling=frozenset(filling & files.keys()))
    return Assignment(now, paths, removed, frozenset(added), renamed, known.is_written and now == known)


def renamed_name(name: str, renamed: Mapping[str, str]) -> str:
    """Return what a sink is called now. renamed: names before, by names now."""
    return next((now for now, was in renamed.items() if was == name), name)


def _free(path: Path, name: str, taken: Iterable[str], *, may_be_first: bool) -> str:
    """Return the name of a file that no sink has; the first one is `path` itself, which is never deleted."""
    taken = set(taken)
    if may_be_first and path.name not in taken:
        return path.name
    file, count = f"{path.stem}{_MARK}{name}{path.suffix}", 2
    while file in taken:
        file, count = f"{path.stem}{_MARK}{name}{_MARK}{count}{path.suffix}", count + 1
    return file


def _is_ours(path: Path, name: str, file: str) -> bool:
    """Return whether a line of the index is one that `assign` makes: nobody else's file is opened or deleted."""
    is_beside = (
        file.startswith(f"{path.stem}{_MARK}") and file.endswith(path.suffix) and "/" not in file and file.isprintable()
    )
    return bool(_NAME.fullmatch(name)) and (file == path.name or is_beside)


def _found(path: Path, first: str) -> dict[str, str]:
    """Return the files that are there, by the sinks that their names name."""
    try:
        there = sorted(os.listdir(path.parent))
    except OSError:
        return {}
    files = {first: path.name} if path.name in there else {}
    begin, end = f"{path.stem}{_MARK}", path.suffix
    for one in there:
        name = one[len(begin) : len(one) - len(end)] if one.startswith(begin) and one.endswith(end) else ""
        if _NAME.fullmatch(name):
            files[name] = one
    return files
