"""From the bytes of a reply to columns: pure numpy, prepared once per request."""

from collections.abc import Sequence
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from gateway.core.blocks import Qualities, Rows, Values
from gateway.core.quality import Quality
from gateway.sources.modbus.config import ByteOrder, ModbusTag, ValueType
from gateway.sources.modbus.plan import Request

_DTYPES: dict[ValueType, str] = {
    "bool": ">u2", "int16": ">i2", "uint16": ">u2", "int32": ">i4", "uint32": ">u4", "int64": ">i8", "uint64": ">u8",
    "float32": ">f4", "float64": ">f8",
}  # fmt: skip
_EXACT = 2**53


class Decoder:
    """Decodes every reply to one request.

    The values are found by one table of byte positions per type, in which the byte order is already undone; nothing loops
    over tags when a reply comes.
    """

    def __init__(self, request: Request, tags: Sequence[ModbusTag], byte_order: ByteOrder) -> None:
        """tags: all of the device's, as `request.spans` numbers them. byte_order: for tags without their own."""
        chosen = [tags[row] for row in request.rows]
        places = np.array([span.start - request.start for span in request.spans], np.intp)
        self._count = len(chosen)
        self._bits = places if request.table in ("coil", "discrete") else None
        self._groups: list[tuple[ValueType, Rows, Rows]] = []
        for kind in sorted({tag.value_type for tag in chosen}) if self._bits is None else ():
            rows = [row for row, tag in enumerate(chosen) if tag.value_type == kind]
            positions = [2 * places[row] + _bytes_of(chosen[row], byte_order) for row in rows]
            self._groups.append((kind, np.array(rows, np.intp), np.array(positions, np.intp)))
        self._divide = _sparse([_divisor(tag.scale) for tag in chosen], 1.0)
        self._multiply = _sparse([1.0 if _divisor(tag.scale) != 1.0 else tag.scale for tag in chosen], 1.0)
        self._add = _sparse([tag.offset for tag in chosen], 0.0)
        self._good = np.full(self._count, Quality.GOOD, np.uint8)

    def __call__(self, payload: bytes) -> tuple[Values, Qualities]:
        """Values in engineering units (float64[n], NaN where bad) and qualities (uint8[n], maybe shared, not to be changed).

        payload: what follows the byte count of the reply, complete (MODBUS Application Protocol 1.1b3, 6.1 to 6.4:
        registers big-endian; bits from the lowest of the first byte). n: the request's tags, in its order.
        A number that is not finite is bad; a 64-bit integer beyond 2^53 is uncertain, for float64 rounds it.
        """
        raw = np.frombuffer(payload, np.uint8)
        if self._bits is not None:
            values = np.unpackbits(raw, bitorder="little")[self._bits].astype(np.float64)
            rounded = None
        else:
            values, rounded = self._registers(raw)
        with np.errstate(all="ignore"):
            self._scale(values)
        finite = np.isfinite(values)
        if rounded is None and finite.all():
            return values, self._good
        quality = self._good.copy()
        if rounded is not None:
            quality[rounded] = Quality.UNCERTAIN_ROUNDED
        quality[~finite] = Quality.BAD_NOT_A_NUMBER
        values[~finite] = np.nan
        return values, quality

    def _registers(self, raw: NDArray[np.uint8]) -> tuple[Values, Rows | None]:
        """Numbers before scaling, and the rows of integers that float64 cannot hold exactly (None: none)."""
        values = np.empty(self._count)
        rounded: list[Rows] = []
        for kind, rows, positions in self._groups:
            numbers = raw[positions].view(_DTYPES[kind])[:, 0]
            if kind == "bool":
                numbers = numbers != 0
            elif kind in ("int64", "uint64"):
                beyond = (numbers > _EXACT) | (numbers < -_EXACT) if kind == "int64" else numbers > _EXACT
                if beyond.any():
                    rounded.append(rows[beyond])
            with np.errstate(invalid="ignore"):
                values[rows] = numbers
        return values, np.concatenate(rounded) if rounded else None

    def _scale(self, values: Values) -> None:
        if self._divide is not None:
            values[self._divide[0]] /= self._divide[1]
        if self._multiply is not None:
            values[self._multiply[0]] *= self._multiply[1]
        if self._add is not None:
            values[self._add[0]] += self._add[1]


def _bytes_of(tag: ModbusTag, byte_order: ByteOrder) -> Rows:
    """Byte positions of a value from its first register on, most significant byte first."""
    order = tag.byte_order or byte_order
    positions = np.arange(2 * tag.width).reshape(tag.width, 2)
    if order in ("CDAB", "DCBA"):
        positions = positions[::-1]
    if order in ("BADC", "DCBA"):
        positions = positions[:, ::-1]
    return positions.ravel()


def _divisor(scale: float) -> float:
    """The integer to divide by instead of multiplying by `scale`, 1 where there is none.

    0.1 has no exact float, but dividing an integer by 10 gives the float nearest to the true decimal.
    """
    inverse = 1 / scale
    if not isfinite(inverse) or abs(inverse) > _EXACT:
        return 1.0
    nearest = float(round(inverse))
    return nearest if nearest and abs(inverse - nearest) <= 1e-12 * abs(inverse) else 1.0


def _sparse(factors: Sequence[float], neutral: float) -> tuple[Rows, Values] | None:
    """The rows whose factor does something, and those factors; None when no row's does."""
    column = np.array(factors, np.float64)
    rows = np.flatnonzero(column != neutral)
    return (rows, column[rows]) if rows.size else None
