"""Writes the rows of a window block as JSON: orjson writes whole columns, join puts the rows together."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import orjson

from gateway.core.blocks import Mask, Values, WindowBlock
from gateway.core.quality import CLASS_NAMES, REASONS, USABLE_FROM
from gateway.core.tags import TagTable

STATISTICS: Final = ("min", "max", "mean", "std", "first", "last")
"""What a window says of a tag's numbers, in the order of payloads."""


def quality_fields(code: int) -> dict[str, str]:
    """Return `q`, and where it is not good, `reason`."""
    name = CLASS_NAMES[code >> 6]
    return {"q": name} if name == "good" else {"q": name, "reason": REASONS[code]}


_QUALITY: Final = tuple(b"," + orjson.dumps(quality_fields(code))[1:] for code in range(256))


class RowText:
    """The writer of rows, which knows each tag's name and how many digits its numbers have."""

    def __init__(self, table: TagTable) -> None:
        self._name = [b"," + orjson.dumps(tag.name) + b':{"n":' for tag in table.tags]
        self._single = np.array([tag.single for tag in table.tags], np.bool_)

    def row_pieces(self, block: WindowBlock, statistics: Sequence[str] = STATISTICS) -> tuple[list[bytes], int]:
        """Return texts, and how many of them are a row, each row beginning with a comma: `,"name":{"n":..,...,"q":".."}`.

        The text of some rows is the join of a slice of the list.
        """
        rows, width = len(block), 5 + 2 * len(statistics)
        pieces = [b""] * (rows * width)
        single = self._single[block.tag]
        pieces[0::width] = map(self._name.__getitem__, block.tag.tolist())
        pieces[1::width] = _split(orjson.dumps(block.count, option=orjson.OPT_SERIALIZE_NUMPY))
        pieces[2::width] = [b',"good":'] * rows
        pieces[3::width] = _split(orjson.dumps(block.good, option=orjson.OPT_SERIALIZE_NUMPY))
        for at, name in enumerate(statistics):
            pieces[4 + 2 * at :: width] = [b',"%b":' % name.encode()] * rows
            pieces[5 + 2 * at :: width] = _numbers(getattr(block, name), single)
        pieces[width - 1 :: width] = map(_QUALITY.__getitem__, block.quality.tolist())
        self._add_rare(block, pieces, width)
        return pieces, width

    @staticmethod
    def _add_rare(block: WindowBlock, pieces: list[bytes], width: int) -> None:
        """Add fields that few rows have: the age of a value in force, and the divisor when uncertain samples count."""
        held = (block.count == 0) & (block.quality >= USABLE_FROM)
        for row in np.flatnonzero(held).tolist():
            stamp = int(block.last_time[row]) // 1_000_000
            at = (row + 1) * width - 1
            pieces[at] = b',"last_ts":%d%b' % (stamp, pieces[at])
        for row in np.flatnonzero(block.used != block.good).tolist():
            at = (row + 1) * width - 1
            pieces[at] = b',"used":%d%b' % (int(block.used[row]), pieces[at])


def _split(array: bytes) -> list[bytes]:
    return array[1:-1].split(b",")


def numbers_text(column: Values, single: Mask) -> bytes:
    """Return a JSON array of the shortest digits that read back as the same numbers.

    single: rows that the source delivers as float32, whose digits are float32's. NaN is null.
    """
    if not single.any():
        return orjson.dumps(column, option=orjson.OPT_SERIALIZE_NUMPY)
    with np.errstate(over="ignore"):
        narrow = column.astype(np.float32)
    single = single & ~(np.isinf(narrow) & np.isfinite(column))  # a scale has carried it beyond float32
    if single.all():
        return orjson.dumps(narrow, option=orjson.OPT_SERIALIZE_NUMPY)
    texts = np.empty(column.size, object)
    texts[single] = _split(orjson.dumps(narrow[single], option=orjson.OPT_SERIALIZE_NUMPY))
    texts[~single] = _split(orjson.dumps(column[~single], option=orjson.OPT_SERIALIZE_NUMPY))
    return b"[" + b",".join(texts.tolist()) + b"]"


def _numbers(column: Values, single: Mask) -> list[bytes]:
    return _split(numbers_text(column, single))


def shortest_single(value: float) -> float:
    """Return the number with the fewest digits that is the same float32; itself where it is none."""
    with np.errstate(over="ignore"):
        narrow = np.float32(value)
    return float(str(narrow)) if np.isfinite(narrow) else value
