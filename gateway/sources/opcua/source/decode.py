"""Data values to samples: numbers, qualities and times. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gateway.core.blocks import ObjectBlock, Qualities, SampleBlock, Times, Values
from gateway.core.quality import GOOD_FROM, USABLE_FROM, Quality
from gateway.sources.opcua.codec.columns import KIND_NULL, ValueColumns
from gateway.sources.opcua.config.device import OpcUaTag, exact_divisor
from gateway.sources.opcua.port.values import DataValues
from gateway.sources.opcua.status.codes import qualities_of

_INTEGERS: Final = (8, 9)
_FLOAT, _DOUBLE = 10, 11
_NO_FAULT: Final = 255


@dataclass(frozen=True, slots=True, eq=False)
class TagColumns:
    """Scales of a device's tags: value = number * times / by + offset, float64[n] each."""

    first_tag: int
    """Id of the tag of row 0."""
    times: Values
    by: Values
    """Divisors; used instead of `times` where a scale such as 0.1 has an exact one."""
    offset: Values
    plain: bool
    """No tag has a scale or an offset."""

    @classmethod
    def of(cls, first_tag: int, tags: Sequence[OpcUaTag]) -> "TagColumns":
        """Return the columns of configured tags; the tag of row 0 has the id `first_tag`."""
        divisors = [exact_divisor(tag.scale) for tag in tags]
        times = np.array([1.0 if d else tag.scale for tag, d in zip(tags, divisors, strict=True)], np.float64)
        by = np.array([d or 1.0 for d in divisors], np.float64)
        offset = np.array([tag.offset for tag in tags], np.float64)
        plain = bool((times == 1).all() and (by == 1).all() and (offset == 0).all())
        return cls(first_tag, times, by, offset, plain)


def decode(
    values: DataValues, tags: TagColumns, tolerance_ns: int, *, by_gateway: bool = False, is_late: bool = False
) -> tuple[SampleBlock, ObjectBlock | None]:
    """Return the samples of one answer or notification, in its order, and as objects what is no number or too large.

    A number of a bad status is ignored. Good or uncertain status: null is bad, NaN and infinity (also after scaling)
    BAD_NOT_A_NUMBER, integers beyond 2^53 UNCERTAIN_ROUNDED; without a scale these come exactly, as objects, too. Texts,
    dates, arrays and structures come as objects only. Float (32 bits) becomes the shortest decimal that names the same
    float32: 23.45, not 23.450000762939453. Times: see `_times`; by_gateway: those of receipt, uncertain where the
    process stood still then; is_late: the answer was received late, and its clock is right.
    """
    columns = values.columns
    rows = columns.row.astype(np.intp)
    number, fault = _numbers(columns)
    if not tags.plain:
        with np.errstate(over="ignore", invalid="ignore"):
            number = number * tags.times[rows] / tags.by[rows] + tags.offset[rows]
    fault[~np.isfinite(number) & (fault >= USABLE_FROM)] = Quality.BAD_NOT_A_NUMBER
    status = qualities_of(columns.status)
    quality = np.where(status < USABLE_FROM, status, np.minimum(status, fault))
    time, doubtful = _received(values) if by_gateway else _times(values, tolerance_ns, is_late=is_late)
    reason = Quality.UNCERTAIN_TIME if by_gateway else Quality.UNCERTAIN_CLOCK
    quality[doubtful & (quality >= GOOD_FROM)] = reason
    number[quality < USABLE_FROM] = np.nan
    tag = columns.row + np.uint32(tags.first_tag)
    if not columns.objects:
        return SampleBlock(tag, time, number, quality), None
    status[doubtful & (status >= GOOD_FROM)] = reason
    scaled = (tags.times[rows] != 1) | (tags.by[rows] != 1) | (tags.offset[rows] != 0)
    integer = np.isin(columns.kind, _INTEGERS)
    wanted = (status >= USABLE_FROM) & ~(scaled & integer)  # a scaled integer is a measurement: its digits end anyway
    places = [place for place in sorted(columns.objects) if wanted[place]]
    objects = ObjectBlock(tag[places], time[places], [columns.objects[place] for place in places], status[places])
    numeric = np.ones(len(columns), np.bool_)
    numeric[[place for place in places if not integer[place]]] = False
    return SampleBlock(tag[numeric], time[numeric], number[numeric], quality[numeric]), objects


def _received(values: DataValues) -> tuple[Times, NDArray[np.bool_]]:
    came_ns = values.received_ns - values.late_ns
    return np.full(len(values), came_ns, np.int64), np.full(len(values), values.late_ns > 0, np.bool_)


def _times(values: DataValues, tolerance_ns: int, *, is_late: bool) -> tuple[Times, NDArray[np.bool_]]:
    """Return sample times, and which of them rest on a clock that cannot be believed.

    The server's clock when it answered is compared with ours at receipt. Off by more than the tolerance: all samples
    get our time of receipt. Else source time, without it server time, without it receipt; old ones are legitimate, one
    later than receipt becomes receipt, doubtful if it was later by more than the tolerance. is_late: an answer that seems
    to be behind was received late instead: its times stand, doubtful unless a stand-still of the process explains it.
    """
    received, server = values.received_ns, values.server_clock_ns
    count = len(values)
    is_behind = bool(server) and server - received < -tolerance_ns - values.late_ns
    if server and abs(server - received) > tolerance_ns and not is_late:
        return np.full(count, received, np.int64), np.ones(count, np.bool_)
    time = np.where(values.columns.source_ns > 0, values.columns.source_ns, values.columns.server_ns)
    time = np.where(time > 0, time, received - values.late_ns)
    return np.minimum(time, received), (time > received + tolerance_ns) | is_behind


def _numbers(columns: ValueColumns) -> tuple[Values, Qualities]:
    """Return float64[n] of the values, and per value what was wrong with it as a number (255: nothing)."""
    kind, number = columns.kind, columns.number.copy()
    fault = np.full(kind.size, _NO_FAULT, np.uint8)
    fault[kind == KIND_NULL] = Quality.BAD
    fault[kind > _DOUBLE] = Quality.BAD_NOT_NUMERIC
    single = kind == _FLOAT
    if single.any():
        with np.errstate(over="ignore"):
            number[single] = shortest_decimals(number[single].astype(np.float32))
    inexact = [place for place in columns.objects if kind[place] in _INTEGERS]
    fault[inexact] = Quality.UNCERTAIN_ROUNDED
    return number, fault


def shortest_decimals(single: NDArray[np.float32]) -> Values:
    """Return float64[n], the decimals with the fewest digits that still name these float32 values (at most nine digits)."""
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
