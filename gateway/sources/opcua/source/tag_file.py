"""Tag files from found variables. Pure."""

import csv
import io
import re
from collections.abc import Iterable, Sequence
from typing import Final

from gateway.core.csv_cells import hides_formula, protected
from gateway.core.foreign_text import is_clean

_FORBIDDEN: Final = re.compile(r"[/+#]|[;,](?=['\s]*[=@-])")
"""What topics cannot have, and separators before what a spreadsheet takes for a formula."""
_LONGEST_BYTES: Final = 128
_LONGEST_NODE: Final = 5000
"""Of a node as text, characters: an identifier has at most 4,096 (Part 3, 8.2.4), its namespace some hundred."""


def tag_names(paths: Sequence[Sequence[str]]) -> list[str]:
    """Return one valid, unique tag name per browse path: its parts joined by dots, numbered where two would be equal."""
    names: list[str] = []
    used: set[str] = set()
    next_number: dict[str, int] = {}
    for path in paths:
        base = ".".join(_cleaned(part[:_LONGEST_BYTES]) for part in path).lstrip("$ ")
        base = base.encode()[: _LONGEST_BYTES - 8].decode(errors="ignore").rstrip() or "tag"
        name, number = base, next_number.get(base, 2)
        while name in used:
            name, number = f"{base}_{number}", number + 1
        next_number[base] = number
        used.add(name)
        names.append(name)
    return names


def _cleaned(part: str) -> str:
    return "".join(c if c.isprintable() else "_" for c in _FORBIDDEN.sub("_", part))


def is_writable(node: str) -> bool:
    """Return whether a node can stand in a tag file and is the same when it is read back.

    Control characters and blanks at its ends would not survive; where a spreadsheet splits at another separator than the
    comma, no part may become a formula.
    """
    return len(node) <= _LONGEST_NODE and is_clean(node) and node == node.strip() and not hides_formula(node)


def tag_file(rows: Iterable[tuple[str, str, str, str]]) -> str:
    """Return the CSV text for config/tags/ of (name, node, unit, range), in the order given."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("name", "node", "unit", "range"))
    writer.writerows(map(protected, row) for row in rows)
    return out.getvalue()
