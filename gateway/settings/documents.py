"""Files as plain values with a line number for each: YAML and CSV."""

import csv
import io
from collections.abc import Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from gateway.core.errors import Problem

KeyPath = tuple[str | int, ...]

_LARGEST_FILE_BYTES = 64 * 2**20
_DEEPEST = 20


@dataclass(slots=True)
class Document:
    """The content of one file. lines: the line of each key path; () is the file itself."""

    file: str
    value: Any = None
    lines: dict[KeyPath, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def line(self, path: KeyPath) -> int:
        """The line of the longest known beginning of `path`, 0 if there is none."""
        for end in range(len(path), 0, -1):
            if path[:end] in self.lines:
                return self.lines[path[:end]]
        return self.lines.get((), 0)

    def add(self, path: KeyPath, message: str, expected: str = "") -> None:
        """Note a problem at a key path."""
        key = ".".join(str(part) for part in path)
        self.problems.append(Problem(self.file, self.line(path), key, message, expected))


def _text(document: Document, path: Path) -> str | None:
    try:
        if path.stat().st_size > _LARGEST_FILE_BYTES:
            document.add((), "is larger than 64 MiB")
            return None
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        document.add((), "no such file")
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        document.lines[()] = line
        document.add((), "is not UTF-8 text", "UTF-8 (in a spreadsheet: save as 'CSV UTF-8')")
    except OSError as error:
        document.add((), f"cannot be read: {error.strerror}")
    return None


def read_yaml(path: Path, shown: str) -> Document:
    """A YAML file; `shown` is how problems name it. A key that stands twice is a problem, not a silent choice."""
    document = Document(shown)
    text = _text(document, path)
    if text is None:
        return document
    try:
        node = yaml.compose(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        document.lines[()] = mark.line + 1 if mark else 0
        document.add((), f"is not valid YAML: {error.problem or error.context}")
        return document
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        document.add((), f"is not valid YAML: {str(error).splitlines()[0]}")
        return document
    document.lines[()] = 1
    if node is not None:
        document.value = _plain(document, node, ())
    return document


def _plain(document: Document, node: yaml.Node, path: KeyPath) -> Any:
    document.lines.setdefault(path, node.start_mark.line + 1)
    if len(path) > _DEEPEST:
        document.add(path, "is nested too deeply")
        return None
    if isinstance(node, yaml.MappingNode):
        return _mapping(document, node, path)
    if isinstance(node, yaml.SequenceNode):
        return [_plain(document, item, (*path, i)) for i, item in enumerate(node.value)]
    try:
        return yaml.SafeLoader("").construct_object(node)
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        reason = getattr(error, "problem", None) or str(error)
        document.add(path, f"cannot be understood: {reason}")
        return None


def _mapping(document: Document, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for key_node, item in node.value:
        key: Hashable = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
        here = (*path, str(key))
        line = key_node.start_mark.line + 1
        if key is None:
            document.add(path, f"line {line}: a key must be plain text")
        elif key in value:
            first = document.lines[here]
            document.lines[here] = line
            document.add(here, f"stands twice, first in line {first}")
        else:
            document.lines[here] = line
            value[str(key)] = _plain(document, item, here)
    return value


def read_csv(path: Path, shown: str) -> Document:
    """A tag table from a spreadsheet as a list of rows (dicts of the cells that are not empty).

    The first line names the keys; comma, semicolon and tab are understood; empty lines and lines that begin with # are
    left out.
    """
    document = Document(shown, [])
    text = _text(document, path)
    if text is None:
        return document
    document.lines[()] = 1
    head = next((line for line in text.splitlines() if line.strip() and not line.startswith("#")), "")
    delimiter = max(",;\t", key=head.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        _rows(document, reader)
    except csv.Error as error:
        document.lines[()] = reader.line_num
        document.add((), f"is not valid CSV: {error}")
    return document


def _rows(document: Document, reader: Any) -> None:
    header: list[str] | None = None
    line = 1
    for cells in reader:
        begin, line = line, reader.line_num + 1
        if not any(cell.strip() for cell in cells) or cells[0].lstrip().startswith("#"):
            continue
        if header is None:
            header = [cell.strip() for cell in cells]
            document.lines[()] = begin
            _check_header(document, header)
            continue
        at = len(document.value)
        document.lines[(at,)] = begin
        if any(cell.strip() for cell in cells[len(header) :]):
            document.add((at,), f"has {len(cells)} cells", f"{len(header)} as in the header")
        document.value.append({key: cell.strip() for key, cell in zip(header, cells, strict=False) if key and cell.strip()})
    if header is None:
        document.add((), "is empty", "a header line that names the tag keys")


def _check_header(document: Document, header: list[str]) -> None:
    for key in sorted({key for key in header if key and header.count(key) > 1}):
        document.add((key,), "stands twice in the header")
    if "name" not in header:
        document.add((), "the header has no column 'name'", "the tag keys as column names, for instance name,address,type")
