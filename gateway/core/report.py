"""The output of a command as plain data: protocols make it, the command line prints it."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

Style = Literal["strong", "faint", "value", "good", "warning", "bad"]


class Styled(NamedTuple):
    """A piece of text with its meaning, which a terminal shows as colour or weight."""

    text: str
    """The piece."""
    style: Style
    """Its meaning."""


Part = str | Styled
Line = Part | tuple[Part, ...]
"""One line. Whoever prints it cleans each part (`foreign_text`) and reads none as markup."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under headings, as wide as they need to be."""

    headings: Sequence[str]
    """One for each column."""
    rows: Sequence[Sequence[Part]]
    """Cells, in the order of the headings."""
    numeric: Collection[str] = ()
    """Headings of columns of numbers."""
    title: str = ""
    """A line above the table, empty for none."""


@dataclass(slots=True)
class Tree:
    """A line and the lines below it."""

    line: Line
    """The text of this node."""
    children: list["Tree"] = field(default_factory=list)
    """The nodes below it."""


@dataclass(frozen=True, slots=True)
class Note:
    """A line for the person at the terminal, on standard error: not part of the output."""

    line: Line
    """Its text."""


@dataclass(frozen=True, slots=True)
class RawText:
    """The content of a file, printed without any change but for what a terminal would obey."""

    text: str
    """The content."""
    is_note: bool = False
    """Whether it goes to standard error, as a `Note` does."""


Item = Line | Table | Tree | Note | RawText


@dataclass(frozen=True, slots=True)
class Report:
    """The output of a command."""

    items: Sequence[Item]
    """In the order of printing."""
    is_complete: bool = True
    """Whether everything that was asked for is there: exit code 0, otherwise 1."""
    numbers: Mapping[str, tuple[float, int]] = field(default_factory=dict)
    """Of a read of tags: value and `Quality` code of each that is a number, for what is computed from them."""
