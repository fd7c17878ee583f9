"""Cells of CSV files that a spreadsheet cannot take for formulas (CWE-1236), and back. Pure."""

import re
from typing import Final

_STARTS: Final = ("=", "+", "-", "@", "\t", "\r")
_NUMBER: Final = re.compile(r"[+-]?[0-9.]+([eE][+-]?[0-9]+)?( to [+-]?[0-9.]+([eE][+-]?[0-9]+)?)?")
_NEW_CELL: Final = re.compile(r"[;,\t]['\s]*[=+\-@]")
"""Begins a formula where a spreadsheet splits at another separator than the file does, as in many languages."""


def protected(cell: str) -> str:
    """Return the cell as it is written: with a ' in front where a spreadsheet would take it for a formula."""
    return f"'{cell}" if cell.lstrip("'").startswith(_STARTS) and not _NUMBER.fullmatch(cell) else cell


def unprotected(cell: str) -> str:
    """Return the cell that `protected` has written."""
    return cell[1:] if cell.startswith("'") and cell.lstrip("'").startswith(_STARTS) else cell


def hides_formula(cell: str) -> bool:
    """Return whether a part of the cell becomes a formula where it is split at another separator."""
    return _NEW_CELL.search(cell) is not None
