"""Writes the rows of a window block as JSON: orjson writes whole columns, join puts the rows together."""

from typing import Final

import numpy as np
import orjson

from gateway.core.blocks import Mask, Values, WindowBlock
from gateway.core.quality import CLASS_NAMES, REASONS, USABLE_FROM
from gateway.core.tags import TagTable

PIECES: Final = 17
"""Pieces of text per row; the text of some rows is the join of a slice of the list that `row_pieces` returns."""

_KEYS: Final = (b',"good":', b',"min":', b',"max":', b',"mean":', b',"std":', b',"first":', b',"last":')


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

    def row_pieces(self, block: WindowBlock) -> list[bytes]:
        """Return `PIECES` texts per row, each row beginning with a comma: `,"name":{"n":..,...,"q":".."}`."""
        rows = len(block)
        pieces = [b""] * (rows * PIECES)
        single = self._single[block.tag]
        pieces[0::PIECES] = map(self._name.__getitem__, block.tag.tolist())
        pieces[1::PIECES] = _split(orjson.dumps(block.count, option=orjson.OPT_SERIALIZE_NUMPY))
        columns = (block.min, block.max, block.mean, block.std, block.first, block.last)
        texts = [
            _split(orjson.dumps(block.good, option=orjson.OPT_SERIALIZE_NUMPY)),
            *(_numbers(c, single) for c in columns),
        ]
        for at, (key, text) in enumerate(zip(_KEYS, texts, strict=True)):
            pieces[2 + 2 * at :: PIECES] = [key] * rows
            pieces[3 + 2 * at :: PIECES] = text
        pieces[16::PIECES] = map(_QUALITY.__getitem__, block.quality.tolist())
        self._add_rare(block, pieces)
        return pieces

    @staticmethod
    def _add_rare(block: WindowBlock, pieces: list[bytes]) -> None:
        """Add fields that few rows have: the age of a value in force, and the divisor when uncertain samples count."""
        held = (block.count == 0) & (block.quality >= USABLE_FROM)
        for row in np.flatnonzero(held).tolist():
            stamp = int(block.last_time[row]) // 1_000_000
            pieces[row * PIECES + 16] = b',"last_ts":%d%b' % (stamp, pieces[row * PIECES + 16])
        for row in np.flatnonzero(block.used != block.good).tolist():
            pieces[row * PIECES + 16] = b',"used":%d%b' % (int(block.used[row]), pieces[row * PIECES + 16])


def _split(array: bytes) -> list[bytes]:
    return array[1:-1].split(b",")


def _numbers(column: Values, single: Mask) -> list[bytes]:
    """Return the shortest digits that read back as the same number, float32 where the source delivers it. NaN is null."""
    if not single.any():
        return _split(orjson.dumps(column, option=orjson.OPT_SERIALIZE_NUMPY))
    with np.errstate(over="ignore"):
        narrow = column.astype(np.float32)
    single = single & ~(np.isinf(narrow) & np.isfinite(column))  # a scale has carried it beyond float32
    if single.all():
        return _split(orjson.dumps(narrow, option=orjson.OPT_SERIALIZE_NUMPY))
    texts = np.empty(column.size, object)
    texts[single] = _split(orjson.dumps(narrow[single], option=orjson.OPT_SERIALIZE_NUMPY))
    texts[~single] = _split(orjson.dumps(column[~single], option=orjson.OPT_SERIALIZE_NUMPY))
    return texts.tolist()


def shortest_single(value: float) -> float:
    """Return the number with the fewest digits that is the same float32; itself where it is none."""
    with np.errstate(over="ignore"):
        narrow = np.float32(value)
    return float(str(narrow)) if np.isfinite(narrow) else value
