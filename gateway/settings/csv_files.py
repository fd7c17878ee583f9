"""Tag tables from spreadsheets, read with a ceiling for everything that somebody can make large."""

import csv
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from gateway.core.csv_cells import unprotected
from gateway.settings import ceilings
from gateway.settings.source_files import SourceFile, read_text

_ENCODINGS: Final = ("utf-8-sig", "cp1252")
"""What spreadsheets save in: UTF-8, and in Europe and America Windows-1252 where nobody asks them for UTF-8."""
_SEPARATOR: Final = re.compile(r"(?i)\ufeff?\"?sep=([,;\t])\"?")
_COMMA_NUMBER: Final = re.compile(r"[-+]?\d+(?:,\d+)?(?:[eE][-+]?\d+)?\s*%?(?:\s+to\s+[-+]?\d+(?:,\d+)?)?")
_WORDS: Final = frozenset({"name", "description", "unit", "address", "labels", "flags", "formula", "node"})
"""Columns in which a comma is a comma."""
_LINE: Final = re.compile(r"[^\r\n]*(?:\r\n?|\n)|[^\r\n]+")


def read_csv(path: Path, shown: str, *, is_own: bool = False) -> SourceFile:
    """Read a tag table from a spreadsheet as a list of rows (dicts of the cells that are not empty).

    The first line names the keys; comma, semicolon and tab are understood; empty lines and lines that begin with # are
    left out. Where commas do not separate cells, numbers may have a decimal comma. is_own: the gateway wrote it, in UTF-8.
    """
    file = SourceFile(shown, [], tabular=True)
    text = read_text(file, path, ceilings.CSV_BYTES, encodings=_ENCODINGS[:1] if is_own else _ENCODINGS)
    if text is None:
        return file
    file.lines[()] = 1
    head = next((line for line in _lines(text) if line.strip() and not line.lstrip().startswith("#")), "")
    told = _SEPARATOR.fullmatch(head.strip("\r\n"))  # Excel's own first line, which names the delimiter
    delimiter = told[1] if told else max(",;\t", key=head.count)
    lines = ("\n" if told and at == 0 else line for at, line in enumerate(_lines(text)))
    _add_rows(file, csv.reader(lines, delimiter=delimiter, strict=True), delimiter != ",")
    return file


def _lines(text: str) -> Iterator[str]:
    """Yield the lines with their ends. io.StringIO would hold the text once more, with four bytes for each character."""
    return (line[0] for line in _LINE.finditer(text))


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


def _point(key: str, cell: str, has_decimal_comma: bool) -> str:
    """Return a cell with a decimal point, where commas do not separate cells and the cell is nothing but a number."""
    is_number = has_decimal_comma and "," in cell and key not in _WORDS and _COMMA_NUMBER.fullmatch(cell)
    return cell.replace(",", ".") if is_number else cell


def _add_rows(file: SourceFile, reader: Any, has_decimal_comma: bool) -> None:
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
            {
                key: _point(key, unprotected(cell.strip()), has_decimal_comma)
                for key, cell in zip(header, cells, strict=False)
                if key and cell.strip()
            }
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
