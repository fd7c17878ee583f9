"""The table `watermark` of a database: contents by key, each with a checksum."""

import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from gateway.core.ports.watermarks import StoredWatermark

MOST_BYTES: Final = 16 * 2**20
"""Of one content. What is longer is read as empty, so as one that is not sound."""
QUERY: Final = f"SELECT key, CASE WHEN length(value) <= {MOST_BYTES} THEN value END, certain, checksum FROM watermark"  # noqa: S608
"""Rows for `sound`."""

WRITE: Final = (
    "INSERT INTO watermark (key, value, certain, checksum) VALUES (?, ?, ?, ?) ON CONFLICT (key)"
    " DO UPDATE SET value = excluded.value, certain = excluded.certain, checksum = excluded.checksum"
)


def rows(contents: Mapping[str, StoredWatermark]) -> list[tuple[str, bytes, int, int]]:
    """Return the rows to `WRITE`."""
    numbered = ((key, content.value, int(content.is_certain)) for key, content in contents.items())
    return [(key, value, certain, _checksum(key, value, certain)) for key, value, certain in numbered]


def sound(found: Iterable[tuple[object, ...]]) -> Iterator[tuple[str, StoredWatermark]]:
    """Yield the contents by key; empty and uncertain where a checksum is wrong. SQLite does not notice flipped bits."""
    for key, value, certain, check in found:
        if not isinstance(key, str):
            continue
        if isinstance(value, bytes) and isinstance(certain, int) and check == _checksum(key, value, certain):
            yield key, StoredWatermark(value, bool(certain))
        else:
            yield key, StoredWatermark(b"", is_certain=False)


def rescued(db: sqlite3.Connection) -> dict[str, StoredWatermark]:
    """Return what can be read in a damaged database. Nobody knows whether it is of the last commit: it is uncertain."""
    contents: dict[str, StoredWatermark] = {}
    try:
        for key, content in sound(db.execute(QUERY)):
            contents[key] = StoredWatermark(content.value, is_certain=False)
    except sqlite3.Error:
        return contents  # the rest is unreadable, or there is no such table yet
    return contents


def _checksum(key: str, value: bytes, certain: int) -> int:
    return zlib.crc32(value, zlib.crc32(repr((key, certain)).encode()))
