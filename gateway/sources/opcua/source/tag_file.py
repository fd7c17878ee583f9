"""Tag files from found variables. Pure."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Final

_FORBIDDEN: Final = frozenset("/+#")
_LONGEST_BYTES: Final = 128


def tag_names(paths: Sequence[Sequence[str]]) -> list[str]:
    """Return one valid, unique tag name per browse path: its parts joined by dots, numbered where two would be equal."""
    names: list[str] = []
    used: set[str] = set()
    for path in paths:
        base = ".".join(_clean(part) for part in path).lstrip("$ ")
        base = base.encode()[: _LONGEST_BYTES - 8].decode(errors="ignore").rstrip() or "tag"
        name, number = base, 2
        while name in used:
            name, number = f"{base}_{number}", number + 1
        used.add(name)
        names.append(name)
    return names


def _clean(part: str) -> str:
    return "".join("_" if c in _FORBIDDEN or not c.isprintable() else c for c in part)


def tag_file(rows: Iterable[tuple[str, str, str, str]]) -> str:
    """Return the CSV text for config/tags/ of (name, node, unit, range), in the order given."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("name", "node", "unit", "range"))
    writer.writerows(rows)
    return out.getvalue()
