"""The output of a command as plain data: protocols make it, the command line prints it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

Style = Literal["strong", "faint", "value", "good", "warning", "bad"]


class Styled(NamedTuple):
    """A piece of text with its meaning, which a terminal shows as colour or weight."""

    text: str
    style: Style


Part = str | Styled
Line = Part | tuple[Part, ...]
"""One line. Text that came from a device is printed as it is, never read as markup."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under headings, as wide as they need to be."""

    headings: Sequence[str]
    rows: Sequence[Sequence[Part]]
    numeric: Collection[str] = ()
    """Headings of columns of numbers."""
    title: str = ""


@dataclass(slots=True)
class Tree:
    """A line and the lines below it."""

    line: Line
    children: list["Tree"] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Note:
    """A line for the person at the terminal, on standard error: not part of the output."""

    line: Line


@dataclass(frozen=True, slots=True)
class RawText:
    """The content of a file, printed without any change."""

    text: str
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
