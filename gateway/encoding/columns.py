"""Windows as columns: one array per statistic in place of one object per tag. The same content, a third of the bytes.

A column that is the same in all rows is one value in place of an array. `min`, `max`, `mean`, `std` and `first` have an
entry only for each row with `n` above 1: of one sample they are `last`, and `std` is 0. `last_ts` has one for each row with
`n` 0 whose quality is not bad. `last` is always there.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import orjson

from gateway.core.blocks import Mask, Values, WindowBlock
from gateway.core.quality import CLASS_NAMES, GOOD_FROM, REASONS, USABLE_FROM
from gateway.core.tags import TagTable
from gateway.encoding.window_json import STATISTICS, numbers_text

_OF_SEVERAL: Final = ("min", "max", "mean", "std", "first")
"""Statistics that one sample needs no word for."""
_NAMES: Final = b',"names":['
_ROW_KEYS: Final = frozenset(("n", "good", "used", *STATISTICS, "last_ts", "q", "reason"))
_CLASSES: Final = tuple(b'"%b"' % name.encode() for name in CLASS_NAMES)
_WHY: Final = tuple(b"null" if code >= GOOD_FROM else orjson.dumps(REASONS[code]) for code in range(256))

Lookup = Mapping[str, Sequence[str]]
"""Names of a device's tags by the id of their set."""


def set_id(names: Sequence[str]) -> str:
    """Return the id of a list of tag names: equal lists have equal ids."""
    return hashlib.blake2b(orjson.dumps(list(names)), digest_size=4).hexdigest()


class ColumnText:
    """The writer of columns, which knows each device's tags and how many digits their numbers have."""

    def __init__(self, table: TagTable) -> None:
        self._names = [orjson.dumps(tag.name) for tag in table.tags]
        self._single = np.array([tag.single for tag in table.tags], np.bool_)
        self._ranges = [table.range_of(device) for device in range(len(table.devices))]
        self._sets = [set_id([tag.name for tag in table.tags[first:end]]).encode() for first, end in self._ranges]
        self._all_names = [b",".join(self._names[first:end]) for first, end in self._ranges]

    def text(self, block: WindowBlock, device: int, statistics: Sequence[str]) -> bytes:
        """Return the rows of a block, all of one device, as text: the members of an object, the tags' names last."""
        first, end = self._ranges[device]
        single = self._single[block.tag]
        several = block.count > 1
        parts = [b'"set":"%b"' % self._sets[device]]
        names = self._all_names[device]
        if len(block) < end - first:
            parts.append(b'"rows":' + _dumps(block.tag - np.uint32(first)))
            names = b",".join(map(self._names.__getitem__, block.tag.tolist()))
        parts += _counts(block)
        if several.any():
            rows = slice(None) if several.all() else several
            parts += [_numbers(name, getattr(block, name)[rows], single[rows]) for name in statistics if name != "last"]
        parts.append(_numbers("last", block.last, single))
        if (held := (block.count == 0) & (block.quality >= USABLE_FROM)).any():
            parts.append(b'"last_ts":' + _dumps(block.last_time[held] // 1_000_000))
        return b",".join([*parts, *_quality(block)]) + _NAMES + names + b"]"


def _dumps(column: Any) -> bytes:
    return orjson.dumps(column, option=orjson.OPT_SERIALIZE_NUMPY)


def _counts(block: WindowBlock) -> list[bytes]:
    parts = [b'"n":' + _shortest(block.count)]
    if (block.good != block.count).any():
        parts.append(b'"good":' + _shortest(block.good))
    if (block.used != block.good).any():
        parts.append(b'"used":' + _shortest(block.used))
    return parts


def _shortest(column: Any) -> bytes:
    return b"%d" % column[0] if (column == column[0]).all() else _dumps(column)


def _numbers(name: str, column: Values, single: Mask) -> bytes:
    same = np.isnan(column) if np.isnan(column[0]) else column == column[0]
    if same.all() and (single.all() or not single.any()):
        return b'"%b":' % name.encode() + numbers_text(column[:1], single[:1])[1:-1]
    return b'"%b":' % name.encode() + numbers_text(column, single)


def _quality(block: WindowBlock) -> list[bytes]:
    codes = block.quality
    if (codes == codes[0]).all():
        why = [] if codes[0] >= GOOD_FROM else [b'"reason":' + _WHY[codes[0]]]
        return [b'"q":' + _CLASSES[codes[0] >> 6], *why]
    each = codes.tolist()
    return [
        b'"q":[' + b",".join([_CLASSES[code >> 6] for code in each]) + b"]",
        b'"reason":[' + b",".join(map(_WHY.__getitem__, each)) + b"]",
    ]


# -- the same from and to rows --------------------------------------------------------------------------------------------


def are_columns(body: Mapping[str, Any]) -> bool:
    """Return whether a document is a window whose rows are written as columns."""
    return "tags" not in body and "n" in body and ("names" in body or "set" in body) and "tag" not in body


def rows_of(body: dict[str, Any], known: Lookup | None = None) -> dict[str, Any]:
    """Return a document with `tags` in place of columns; any other as it is.

    known: names by set, for documents without. Raises ValueError where there are none, or columns do not fit each other.
    """
    if not are_columns(body):
        return body
    names = body.get("names")
    if names is None:
        names = _named(body, known or {})
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("names of tags are not a list of texts")
    head = {key: value for key, value in body.items() if key not in _ROW_KEYS and key not in ("names", "set", "rows")}
    columns = _expanded(body, len(names))
    keys = [key for key in ("n", "good", *STATISTICS, "last_ts", "used", "q", "reason") if key in columns]
    rows = {
        name: {key: value for key, value in zip(keys, row, strict=True) if value is not _NONE}
        for name, row in zip(names, zip(*(columns[key] for key in keys), strict=True), strict=True)
    }
    return head | {"tags": rows}


_NONE: Final = object()
"""In place of a key that a row does not have."""


def _named(body: Mapping[str, Any], known: Lookup) -> list[str]:
    names = known.get(str(body.get("set")))
    if names is None:
        raise ValueError(f"names of tags are in the description of set {body.get('set')!r}, which has not been received")
    rows = body.get("rows", range(len(names)))
    try:
        return [names[row] for row in rows]
    except (TypeError, IndexError):
        raise ValueError("rows are no places in the set") from None


def _expanded(body: Mapping[str, Any], rows: int) -> dict[str, list[Any]]:
    """Return one value for each row and key, `_NONE` where a row has none. Raises ValueError."""
    counts = _column(body, "n", rows)
    good = _column(body, "good", rows) if "good" in body else counts
    quality = _column(body, "q", rows)
    last = _column(body, "last", rows)
    columns: dict[str, list[Any]] = {"n": counts, "good": good}
    several = [isinstance(n, int) and n > 1 for n in counts]
    for name in _OF_SEVERAL:
        if name in body or not any(several):
            columns[name] = _of_several(body, name, counts, several, last)
    columns["last"] = last
    held = [n == 0 and q != "bad" for n, q in zip(counts, quality, strict=True)]
    if any(held):
        columns["last_ts"] = _scattered(_column(body, "last_ts", sum(held)), held, [_NONE] * rows)
    if "used" in body:
        used = _column(body, "used", rows)
        columns["used"] = [_NONE if one == of_good else one for one, of_good in zip(used, good, strict=True)]
    columns["q"] = quality
    if "reason" in body:
        columns["reason"] = [_NONE if why is None else why for why in _column(body, "reason", rows)]
    return columns


def _of_several(body: Mapping[str, Any], name: str, counts: list[Any], several: list[bool], last: list[Any]) -> list[Any]:
    of_one = [0.0 if value is not None else None for value in last] if name == "std" else last
    base = [value if n == 1 else None for n, value in zip(counts, of_one, strict=True)]
    return _scattered(_column(body, name, sum(several)), several, base) if any(several) else base


def _column(body: Mapping[str, Any], name: str, rows: int) -> list[Any]:
    """Return a column of so many rows. Raises ValueError."""
    value = body.get(name)
    if not isinstance(value, list):
        return [value] * rows
    if len(value) != rows:
        raise ValueError(f"column {name!r} has {len(value)} entries; expected {rows}")
    return value


def _scattered(values: list[Any], where: list[bool], base: list[Any]) -> list[Any]:
    rest = iter(values)
    return [next(rest) if here else other for here, other in zip(where, base, strict=True)]


def columns_of(body: dict[str, Any]) -> dict[str, Any] | None:
    """Return a window's document with columns in place of `tags`, names in it; None where its rows cannot be written so.

    Those of a gateway always can.
    """
    tags = body.get("tags")
    if not isinstance(tags, dict) or not tags or "dur" not in body:
        return None
    rows = list(tags.values())
    several = [row for row in rows if row["n"] > 1]
    statistics = [name for name in _OF_SEVERAL if name in (several or rows)[0]]
    columns: dict[str, Any] = {"n": [row["n"] for row in rows]}
    if any(row["good"] != row["n"] for row in rows):
        columns["good"] = [row["good"] for row in rows]
    if any("used" in row for row in rows):
        columns["used"] = [row.get("used", row["good"]) for row in rows]
    if several:
        columns |= {name: [row[name] for row in several] for name in statistics}
    columns["last"] = [row["last"] for row in rows]
    if held := [row["last_ts"] for row in rows if "last_ts" in row]:
        columns["last_ts"] = held
    columns["q"] = [row["q"] for row in rows]
    if any("reason" in row for row in rows):
        columns["reason"] = [row.get("reason") for row in rows]
    head = {key: value for key, value in body.items() if key != "tags"}
    written = head | {key: _once(column) for key, column in columns.items()} | {"names": list(tags)}
    return written if rows_of(written)["tags"] == tags else None


def _once(column: list[Any]) -> Any:
    return column[0] if all(value == column[0] for value in column) else column


def document_of(payload: bytes) -> dict[str, Any]:
    """Return a stored message's document, its rows as `tags` however they are written."""
    body: dict[str, Any] = orjson.loads(payload)
    return rows_of(body) if isinstance(body, dict) else body


def in_style(document: bytes, topic: str, *, columns: bool) -> bytes:
    """Return a stored message's document with its rows as columns, or as `tags`, however they are written.

    Nothing is to be done for what was made in this style, which is all but merged messages and those from before a change of
    the format.
    """
    if topic.rpartition("/")[2] not in ("window", "summary") or columns == document.endswith(b"]}"):
        return document
    body = orjson.loads(document)
    if not columns:
        return orjson.dumps(rows_of(body))
    return orjson.dumps(columns_of(body) or body)


def without_names(document: bytes, current: str) -> bytes:
    """Return a document of columns without its names, where they are those of the current set.

    Names stand last, and no text in JSON has a quotation mark of its own in it: the last match is theirs.
    """
    if b'"set":"%b"' % current.encode() not in document[:_HEAD_BYTES]:
        return document
    return document[: document.rindex(_NAMES)] + b"}"


_HEAD_BYTES: Final = 256
"""The set stands within so many bytes: before it are only boot, numbers and marks."""
