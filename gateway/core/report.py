"""What a command prints, as plain data: the parts that know devices make it, the command line draws it."""

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
    """A line and what hangs below it."""

    line: Line
    children: list["Tree"] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Note:
    """A line for the person at the terminal, on standard error: it is not part of what was asked for."""

    line: Line


@dataclass(frozen=True, slots=True)
class Document:
    """Text that goes into a file, printed without any change."""

    text: str
    is_note: bool = False
    """It goes to standard error, as a `Note`."""


Item = Line | Table | Tree | Note | Document


@dataclass(frozen=True, slots=True)
class Report:
    """What a command found."""

    items: Sequence[Item]
    """In the order of printing."""
    is_complete: bool = True
    """Nothing that was asked for is missing: exit code 0, otherwise 1."""
