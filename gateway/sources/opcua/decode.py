"""Data values to samples: numbers, qualities and times. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gateway.core.blocks import Qualities, SampleBlock, Times, Values
from gateway.core.quality import GOOD_FROM, USABLE_FROM, Quality
from gateway.sources.opcua.config import OpcUaTag, exact_divisor
from gateway.sources.opcua.connection import KIND_NULL, DataValues
from gateway.sources.opcua.status import qualities_of

_INT64, _UINT64, _FLOAT, _DOUBLE = 8, 9, 10, 11
_EXACT: Final = 2**53
_NO_FAULT: Final = 255


@dataclass(frozen=True, slots=True, eq=False)
class TagColumns:
    """What decoding needs to know of a device's tags: value = number * times / by + offset, float64[n] each."""

    first_tag: int
    times: Values
    by: Values
    offset: Values
    plain: bool

    @classmethod
    def of(cls, first_tag: int, tags: Sequence[OpcUaTag]) -> "TagColumns":
        """Columns of configured tags; the tag of row 0 has the id `first_tag`."""
        divisors = [exact_divisor(tag.scale) for tag in tags]
        times = np.array([1.0 if d else tag.scale for tag, d in zip(tags, divisors, strict=True)], np.float64)
        by = np.array([d or 1.0 for d in divisors], np.float64)
        offset = np.array([tag.offset for tag in tags], np.float64)
        plain = bool((times == 1).all() and (by == 1).all() and (offset == 0).all())
        return cls(first_tag, times, by, offset, plain)


def decode(values: DataValues, tags: TagColumns, tolerance_ns: int) -> SampleBlock:
    """Samples of one answer or notification, in its order.

    A number of a bad status is not looked at. Good or uncertain status: null is bad, text, arrays and structures are
    BAD_NOT_NUMERIC, NaN and infinity (also after scaling) BAD_NOT_A_NUMBER, integers beyond 2^53 UNCERTAIN_ROUNDED.
    Float (32 bits) becomes the shortest decimal that names the same float32: 23.45, not 23.450000762939453.
    Times: see `_times`.
    """
    rows = np.asarray(values.row, np.intp)
    number, fault = _numbers(np.asarray(values.kind, np.uint8), values.value)
    if not tags.plain:
        with np.errstate(over="ignore", invalid="ignore"):
            number = number * tags.times[rows] / tags.by[rows] + tags.offset[rows]
    fault[~np.isfinite(number) & (fault >= USABLE_FROM)] = Quality.BAD_NOT_A_NUMBER
    quality = qualities_of(np.asarray(values.status, np.uint32))
    quality = np.where(quality < USABLE_FROM, quality, np.minimum(quality, fault))
    time, doubtful = _times(values, tolerance_ns)
    quality[doubtful & (quality >= GOOD_FROM)] = Quality.UNCERTAIN_CLOCK
    number[quality < USABLE_FROM] = np.nan
    return SampleBlock((rows + tags.first_tag).astype(np.uint32), time, number, quality)


def _times(values: DataValues, tolerance_ns: int) -> tuple[Times, NDArray[np.bool_]]:
    """Sample times, and which of them rest on a clock that cannot be believed.

    The server's clock when it answered is compared with ours at receipt. Off by more than the tolerance: all samples
    get our time of receipt. Else source time, without it server time, without it receipt; old ones are legitimate, one
    later than receipt becomes receipt, doubtful if it was later by more than the tolerance.
    """
    received, server = values.received_ns, values.server_clock_ns
    count = len(values)
    if server and abs(server - received) > tolerance_ns:
        return np.full(count, received, np.int64), np.ones(count, np.bool_)
    time = np.asarray(values.source_ns, np.int64)
    time = np.where(time > 0, time, np.asarray(values.server_ns, np.int64))
    time = np.where(time > 0, time, received)
    return np.minimum(time, received), time > received + tolerance_ns


def _numbers(kind: NDArray[np.uint8], value: Sequence[object]) -> tuple[Values, Qualities]:
    """float64[n] of the values, and per value what was wrong with it as a number (255: nothing)."""
    kinds = np.unique(kind)
    if kinds.size == 1:
        return _convert(int(kinds[0]), value)
    number, fault = np.empty(kind.size, np.float64), np.empty(kind.size, np.uint8)
    for one in kinds:
        where = np.flatnonzero(kind == one)
        number[where], fault[where] = _convert(int(one), [value[i] for i in where.tolist()])
    return number, fault


def _convert(kind: int, value: Sequence[object]) -> tuple[Values, Qualities]:
    fault = np.full(len(value), _NO_FAULT, np.uint8)
    if kind in (_INT64, _UINT64):
        whole = np.array(value, np.int64 if kind == _INT64 else np.uint64)
        fault[(whole > _EXACT) | (whole < -_EXACT if kind == _INT64 else False)] = Quality.UNCERTAIN_ROUNDED
        return whole.astype(np.float64), fault
    if kind == _FLOAT:
        return shortest_decimals(np.array(value, np.float32)), fault
    if KIND_NULL < kind <= _DOUBLE:
        return np.array(value, np.float64), fault
    fault[:] = Quality.BAD if kind == KIND_NULL else Quality.BAD_NOT_NUMERIC
    return np.full(len(value), np.nan), fault


def shortest_decimals(single: NDArray[np.float32]) -> Values:
    """float64[n] of the decimals with the fewest digits that still name these float32 values (at most nine digits)."""
    result = single.astype(np.float64)
    left = np.flatnonzero(np.isfinite(result) & (result != 0))
    exponent = np.floor(np.log10(np.abs(result[left])))
    # 10.0**n is exact up to n = 22; numbers that would need more are rare, and left to numpy's own printing.
    exact = (exponent >= -13) & (exponent <= 27)
    for row in left[~exact].tolist():
        result[row] = float(str(single[row]))
    left, exponent = left[exact], exponent[exact]
    for digits in (6, 7, 8, 9):
        number, places = result[left], digits - 1 - exponent
        factor = 10.0 ** np.abs(places)
        decimal = np.where(places >= 0, np.rint(number * factor) / factor, np.rint(number / factor) * factor)
        same = decimal.astype(np.float32) == single[left]
        result[left[same]] = decimal[same]
        left, exponent = left[~same], exponent[~same]
        if not left.size:
            break
    return result
