"""Files as plain values with a line number for each: YAML and CSV."""

import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from stat import S_ISREG
from typing import Any

import yaml

from gateway.core.csv_cells import unprotected
from gateway.core.errors import Problem
from gateway.settings import ceilings

KeyPath = tuple[str | int, ...]

_LONGEST_VALUE = 60
_NUMBER_TAGS = tuple(f"tag:yaml.org,2002:{kind}" for kind in ("int", "float", "timestamp", "bool"))
_FAST_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DIRECTIVE = re.compile(r"^%TAG", re.MULTILINE)
_SCALAR_ERRORS = (yaml.YAMLError, ValueError, OverflowError, LookupError, AttributeError, TypeError)
"""What PyYAML raises on a scalar whose text does not fit its tag: `!!int ""`, `!!bool maybe`, `!!timestamp x`."""


class _TooLargeError(Exception):
    """The content is nested too deeply, or aliases make it explode; carries a YAML mark's line, 0-based."""

    def __init__(self, message: str, line: int) -> None:
        self.line = line
        super().__init__(message)


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
    return any("password" in str(part).lower() for part in path)


def _read_text(file: SourceFile, path: Path, most_bytes: int) -> str | None:
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
        return content.decode("utf-8-sig")
    except FileNotFoundError:
        file.add((), "no such file")
    except UnicodeDecodeError as error:
        file.lines[()] = content[: error.start].count(b"\n") + 1
        table = path.suffix == ".csv"
        file.add((), "is not UTF-8 text", "UTF-8 (in a spreadsheet: save as 'CSV UTF-8')" if table else "UTF-8")
    except (OSError, RuntimeError) as error:  # RuntimeError: links that lead in a circle
        file.add((), f"cannot be read: {getattr(error, 'strerror', None) or error}")
    return None


def _yaml_hint(error: yaml.MarkedYAMLError) -> str:
    context = error.context or ""
    if "flow" in context:
        return "a text with # , : { } [ ] in quotes, and every bracket closed"
    if "mapping values" in (error.problem or ""):
        return "keys of one level to begin in the same column, and a text with a colon in quotes"
    return "keys of one level to begin in the same column" if "block mapping" in context else ""


def read_yaml(path: Path, shown: str) -> SourceFile:
    """Read a YAML file. shown: its name in problems. A key that stands twice is a problem, not a silent choice."""
    file = SourceFile(shown)
    text = _read_text(file, path, ceilings.YAML_BYTES)
    if text is None:
        return file
    try:
        _check_size(text)
        node = yaml.compose(text, Loader=_FAST_LOADER)
        file.lines[()] = 1
        if node is not None:
            file.value = _plain_value(file, node, (), yaml.SafeLoader(""))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        file.lines[()] = mark.line + 1 if mark else 0
        line = text.splitlines()[mark.line : mark.line + 1] if mark else []
        hint = "spaces: the line begins with a tab" if line and line[0].lstrip(" ").startswith("\t") else _yaml_hint(error)
        begun = f", {error.context} that begins in line {error.context_mark.line + 1}" if error.context_mark else ""
        file.add((), f"is not valid YAML: {error.problem or error.context}{begun}", hint)
    except yaml.reader.ReaderError as error:
        found = yaml.reader.Reader.NON_PRINTABLE.search(text)
        file.lines[()] = text.count("\n", 0, found.start()) + 1 if found else 0
        file.add((), f"is not valid YAML: the character U+{int(error.character):04X}", "printable text")
    except (yaml.YAMLError, ValueError) as error:
        file.add((), f"is not valid YAML: {str(error).splitlines()[0]}")
    except _TooLargeError as error:
        file.lines = {(): error.line + 1}
        file.add((), str(error))
    return file


def _check_size(text: str) -> None:
    """Raise _TooLargeError for deep nesting and very many values, before the tree is made.

    Composing recurses in C without a limit, and would end the process.
    """
    if len(directives := [*_DIRECTIVE.finditer(text)]) > ceilings.TAG_DIRECTIVES:
        raise _TooLargeError("has too many lines %TAG", text.count("\n", 0, directives[-1].start()))
    depth = nodes = 0
    for event in yaml.parse(text, Loader=_FAST_LOADER):
        line = event.start_mark.line if event.start_mark else 0
        if isinstance(event, yaml.NodeEvent):
            nodes += 1
            if nodes > 2 * ceilings.VALUES:  # keys and values
                raise _TooLargeError(f"has more than {ceilings.VALUES} values", line)
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > ceilings.DEPTH:
                raise _TooLargeError("is nested too deeply", line)
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _plain_value(file: SourceFile, node: yaml.Node, path: KeyPath, scalars: yaml.SafeLoader) -> Any:
    file.lines.setdefault(path, node.start_mark.line + 1)
    if len(path) > ceilings.DEPTH or len(file.lines) > ceilings.VALUES:
        raise _TooLargeError("repeats itself through aliases or is far too large", node.start_mark.line)
    if isinstance(node, yaml.MappingNode):
        return _mapping(file, node, path, scalars)
    if isinstance(node, yaml.SequenceNode):
        return [_plain_value(file, item, (*path, i), scalars) for i, item in enumerate(node.value)]
    is_number = node.tag in _NUMBER_TAGS
    longest = ceilings.NUMBER_CHARACTERS if is_number else ceilings.TEXT_CHARACTERS
    if len(node.value) > longest:
        file.unreadable.add(path)
        kind = "number" if is_number else "text"
        file.add(path, f"is a {kind} of {len(node.value)} characters", f"at most {longest}")
        return None
    try:
        return scalars.construct_object(node)
    except _SCALAR_ERRORS as error:
        shown = "the value" if is_secret(path) else repr(node.value[:_LONGEST_VALUE])
        problem = None if is_secret(path) else getattr(error, "problem", None)
        reason = problem or f"{shown} does not fit {node.tag.rpartition(':')[2]}"
        file.unreadable.add(path)
        file.add(path, f"cannot be understood: {reason}")
        return None


def _mapping(file: SourceFile, node: yaml.MappingNode, path: KeyPath, scalars: yaml.SafeLoader) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for key_node, item in node.value:
        key: Hashable = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
        here = (*path, str(key))
        line = key_node.start_mark.line + 1
        if key is None:
            file.add(path, f"line {line}: a key must be plain text")
        elif len(str(key)) > ceilings.KEY_CHARACTERS:
            file.add(path, f"line {line}: a key has {len(str(key))} characters", f"at most {ceilings.KEY_CHARACTERS}")
        elif key in value:
            first = file.lines[here]
            file.lines[here] = line
            file.add(here, f"stands twice, first in line {first}")
        else:
            file.lines[here] = line
            value[str(key)] = _plain_value(file, item, here, scalars)
    return value


def read_csv(path: Path, shown: str) -> SourceFile:
    """Read a tag table from a spreadsheet as a list of rows (dicts of the cells that are not empty).

    The first line names the keys; comma, semicolon and tab are understood; empty lines and lines that begin with # are
    left out.
    """
    file = SourceFile(shown, [], tabular=True)
    text = _read_text(file, path, ceilings.CSV_BYTES)
    if text is None:
        return file
    file.lines[()] = 1
    lines = (line for line in io.StringIO(text) if line.strip() and not line.lstrip().startswith("#"))
    head = next(lines, "")
    delimiter = max(",;\t", key=head.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    _add_rows(file, reader)
    return file


def _records(file: SourceFile, reader: Any) -> Iterator[tuple[int, list[str]]]:
    """Yield each record with its first line, up to one that cannot be read."""
    begin = 1
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            file.lines[()] = begin
            unclosed = "end of data" in str(error)
            reason = 'a cell that begins with " does not end' if unclosed else str(error)
            too_long = "field limit" in reason
            quotes = 'a " at both ends of the cell, and "" for one inside it'
            file.add((), f"is not valid CSV: {reason}", "a shorter cell, or one that ends" if too_long else quotes)
            return
        if cells is None:
            return
        yield begin, cells
        begin = reader.line_num + 1


def _add_rows(file: SourceFile, reader: Any) -> None:
    header: list[str] | None = None
    for begin, cells in _records(file, reader):
        if not any(cell.strip() for cell in cells) or cells[0].lstrip().startswith("#"):
            continue
        if header is None:
            header = [cell.strip() for cell in cells]
            file.lines[()] = begin
            if not _is_usable(file, header):
                return
            continue
        at = len(file.value)
        file.lines[(at,)] = begin
        if any(cell.strip() for cell in cells[len(header) :]):
            file.add((at,), f"has {len(cells)} cells", f"{len(header)} as in the header")
        if any(cell.strip() for key, cell in zip(header, cells, strict=False) if not key):
            file.add((at,), "has a cell in a column without a name", "a name in the header of every column in use")
        file.value.append(
            {key: unprotected(cell.strip()) for key, cell in zip(header, cells, strict=False) if key and cell.strip()}
        )
    if header is None and not file.problems:
        file.add((), "is empty", "a header line that names the tag keys")


def _is_usable(file: SourceFile, header: list[str]) -> bool:
    """Add what is wrong with a header. Returns whether the lines below it are worth reading."""
    if len(header) > ceilings.COLUMNS:
        file.add((), f"the header has {len(header)} columns", f"at most {ceilings.COLUMNS}")
        return False
    if (longest := max(map(len, header))) > ceilings.KEY_CHARACTERS:
        file.add((), f"the header has a name of {longest} characters", f"at most {ceilings.KEY_CHARACTERS}")
        return False
    for key in sorted(key for key, count in Counter(header).items() if key and count > 1):
        file.add((key,), "stands twice in the header")
    if "name" not in header:
        alike = next((key for key in header if key.lower() == "name"), "")
        found = f"'name', not {alike!r}: " if alike else ""
        expected = f"{found}the tag keys as column names, in small letters, for instance name,address,type"
        file.add((), "the header has no column 'name'", expected)
    return True
