"""The content of a file as plain values with a line number for each."""

import codecs
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from stat import S_ISREG
from typing import Any

from gateway.core.errors import Problem
from gateway.settings import ceilings

KeyPath = tuple[str | int, ...]


def _no_variable(_: KeyPath) -> str | None:
    return None


@dataclass(slots=True)
class SourceFile:
    """The content of one file, or of a part of it, with the line of each key."""

    name: str
    """Its path, as problems show it."""
    value: Any = None
    """Its content as plain values; None where it cannot be read."""
    tabular: bool = False
    """The first part of each path is the number of a row, which problems do not show (they have its line)."""
    lines: dict[KeyPath, int] = field(default_factory=dict)
    """The line of each key path; () is the file itself."""
    problems: list[Problem] = field(default_factory=list)
    """Faults found so far."""
    notes: list[str] = field(default_factory=list)
    """What was understood and is probably worth a look."""
    unreadable: set[KeyPath] = field(default_factory=set)
    """Where a value stands that could not be taken and is None here; a problem says why."""
    origins: dict[str, "SourceFile"] = field(default_factory=dict)
    """The file of each top-level key that comes from another one (templates, lists of devices), which gets its problems."""
    prefix: KeyPath = ()
    """The key path of this part within its file; empty for a whole file."""
    variable: Callable[[KeyPath], str | None] = _no_variable
    """Returns the environment variable that has set the value at a key path, if one has; it is named in problems."""

    def parts(self, path: KeyPath) -> "dict[str | int, SourceFile]":
        """Return each item at a key path as a source file of its own, with its lines and no value yet."""
        items: dict[str | int, SourceFile] = {}
        end = len(path) + 1
        for where, line in self.lines.items():
            if len(where) >= end and where[: end - 1] == path:
                key = where[end - 1]
                if key not in items:
                    items[key] = SourceFile(self.name, prefix=(*self.prefix, *where[:end]))
                items[key].lines[where[end:]] = line
        for where in self.unreadable:
            if len(where) >= end and where[: end - 1] == path:
                items[where[end - 1]].unreadable.add(where[end:])
        return items

    def line(self, path: KeyPath) -> int:
        """Return the line of the longest known beginning of `path`, 0 if there is none."""
        for end in range(len(path), 0, -1):
            if path[:end] in self.lines:
                return self.lines[path[:end]]
        return self.lines.get((), 0)

    def problem(self, path: KeyPath, message: str, expected: str = "") -> Problem:
        """Return a problem at a key path."""
        if name := self.variable(path):
            return Problem("environment", 0, name, message, expected)
        if path and path[0] in self.origins:
            return self.origins[str(path[0])].problem(path, message, expected)
        shown = path[1:] if self.tabular and isinstance(next(iter(path), None), int) else self.prefix + path
        return Problem(self.name, self.line(path), ".".join(str(part) for part in shown), message, expected)

    @property
    def is_full(self) -> bool:
        """Return whether no more problems of this file are kept."""
        return len(self.problems) >= ceilings.PROBLEMS

    def add(self, path: KeyPath, message: str, expected: str = "") -> None:
        """Add a problem at a key path, unless there are too many already."""
        if not self.is_full:
            self.problems.append(self.problem(path, message, expected))


def is_secret(path: KeyPath) -> bool:
    """Return whether messages must not quote the value at a key path."""
    return any(word in str(part).lower() for part in path for word in ("password", "token"))


def _decoded(file: SourceFile, content: bytes, encodings: Sequence[str]) -> str:
    """Return the text in the first encoding that fits. Raises the first one's UnicodeDecodeError where none does."""
    if len(encodings) > 1 and content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16")
    try:
        return content.decode(encodings[0])
    except UnicodeDecodeError:
        for encoding in encodings[1:]:
            with suppress(UnicodeDecodeError):
                text = content.decode(encoding)
                file.notes.append(f"is not UTF-8 and was read as {encoding}: look at the units, or save as 'CSV UTF-8'")
                return text
        raise


def read_text(file: SourceFile, path: Path, most_bytes: int, encodings: Sequence[str] = ("utf-8-sig",)) -> str | None:
    """Return the text of a file, or None after adding why it cannot be read.

    encodings: tried in this order, UTF-16 before them where the file begins with its mark.
    """
    content = b""
    try:
        if not S_ISREG(path.stat().st_mode):  # a pipe would keep us waiting for ever
            file.add((), "is not a file", "a plain text file")
            return None
        with path.open("rb") as stream:
            content = stream.read(most_bytes + 1)
        if len(content) > most_bytes:
            file.add(
                (), f"is larger than {most_bytes >> 20} MiB", "the tags in files of tags/" if path.suffix != ".csv" else ""
            )
            return None
        return _decoded(file, content, encodings)
    except FileNotFoundError:
        file.add((), "no such file")
    except UnicodeDecodeError as error:
        file.lines[()] = content[: error.start].count(b"\n") + 1
        table = path.suffix == ".csv"
        file.add((), "is not UTF-8 text", "UTF-8 (in a spreadsheet: save as 'CSV UTF-8')" if table else "UTF-8")
    except (OSError, RuntimeError) as error:  # RuntimeError: links that lead in a circle
        file.add((), f"cannot be read: {getattr(error, 'strerror', None) or error}")
    return None
