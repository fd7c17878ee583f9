"""The messages of an answer, as JSON. Pure; their schema is in `gateway.encoding`."""

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any, Final

import numpy as np
import orjson

from gateway.core.blocks import Qualities, Rows
from gateway.core.quality import CLASS_NAMES, GOOD_FROM, REASONS
from gateway.core.tags import TagTable
from gateway.live.history.answers import HistoryAnswer

_MS: Final = 1_000_000
_CLASSES: Final = [CLASS_NAMES[code >> 6] for code in range(256)]
_REASONS: Final = ["" if code >= GOOD_FROM else REASONS[code] for code in range(256)]
_NAMES: Final = {"count": "n"}


def write(document: Mapping[str, Any]) -> bytes:
    """Return a document as JSON; NaN becomes null, float32 has its own digits."""
    return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)


def row_documents(answer: HistoryAnswer, table: TagTable, most_bytes: int) -> Iterator[dict[str, Any]]:
    """Yield the keys `tags` and `rows` of parts of at most `most_bytes`; a single row may be larger."""
    yield from _halved(answer, table, np.arange(len(answer)), most_bytes)


def _halved(answer: HistoryAnswer, table: TagTable, rows: Rows, most_bytes: int) -> Iterator[dict[str, Any]]:
    found = {"rows": int(rows.size), "tags": _tags(answer, table, rows)}
    if rows.size == 1 or len(write(found)) <= most_bytes:
        yield found
    else:
        middle = rows.size // 2
        yield from _halved(answer, table, rows[:middle], most_bytes)
        yield from _halved(answer, table, rows[middle:], most_bytes)


def _tags(answer: HistoryAnswer, table: TagTable, rows: Rows) -> dict[str, Any]:
    ids = answer.tag[rows]
    bounds = [0, *(np.flatnonzero(np.diff(ids)) + 1).tolist(), ids.size]
    return {table.label(int(ids[first])): _columns(answer, table, rows[first:end]) for first, end in pairwise(bounds)}


def _columns(answer: HistoryAnswer, table: TagTable, rows: Rows) -> dict[str, Any]:
    tag = table.tags[int(answer.tag[rows[0]])]
    columns: dict[str, Any] = {"unit": tag.unit} if tag.unit else {}
    columns["ts"] = answer.time[rows] // _MS
    for name, values in answer.values.items():
        column = values[rows]
        if name == "count":
            columns["n"] = column.astype(np.int64)
        else:
            columns[_NAMES.get(name, name)] = column.astype(np.float32) if tag.single else column
    return columns | _quality(answer.quality[rows])


def _quality(codes: Qualities) -> dict[str, list[str]]:
    found = {"q": [_CLASSES[code] for code in codes.tolist()]}
    if codes.size and int(codes.min()) < GOOD_FROM:
        found["reason"] = [_REASONS[code] for code in codes.tolist()]
    return found
