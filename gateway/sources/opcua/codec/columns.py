"""Data values as columns: what the codec makes of bytes, and what all rooms above it work on. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gateway.core.blocks import Mask, Times, Values

KIND_NULL: Final = 0
KIND_NOT_SCALAR: Final = 255
EXACT: Final = 2**53
"""Integers up to here are exact in float64."""


@dataclass(frozen=True, slots=True, eq=False)
class ValueColumns:
    """Data values (OPC UA Part 4, 7.11) as equally long columns in the order received."""

    row: NDArray[np.uint32]
    """uint32[n], `Item.row`."""
    kind: NDArray[np.uint8]
    """uint8[n], built-in type (Part 6, 5.1.2) of a scalar, 0 for null, 255 for anything that is not a scalar."""
    number: Values
    """float64[n], NaN where the value is no number."""
    objects: Mapping[int, object]
    """By place in the columns, what float64 cannot carry: texts, dates, arrays, structures, integers beyond 2^53; all as
    JSON can carry them."""
    status: NDArray[np.uint32]
    """uint32[n], status codes."""
    source_ns: Times
    """int64[n], source timestamps, ns since the epoch, UTC, 0 where missing."""
    server_ns: Times
    """int64[n], server timestamps, the same way."""

    def __len__(self) -> int:
        return self.row.size

    def select(self, wanted: Mask) -> "ValueColumns":
        """Return the values where the mask is true, in their order."""
        places = np.cumsum(wanted) - 1
        objects = {int(places[place]): value for place, value in self.objects.items() if wanted[place]}
        row, kind, number = self.row[wanted], self.kind[wanted], self.number[wanted]
        status, source, server = self.status[wanted], self.source_ns[wanted], self.server_ns[wanted]
        return ValueColumns(row, kind, number, objects, status, source, server)


def concatenate(parts: Sequence[ValueColumns]) -> ValueColumns:
    """Return all parts (at least one) behind each other."""
    first = np.cumsum([0, *(len(part) for part in parts)]).tolist()
    objects = {first[i] + place: value for i, part in enumerate(parts) for place, value in part.objects.items()}
    row, kind, status = (np.concatenate([getattr(part, name) for part in parts]) for name in ("row", "kind", "status"))
    number = np.concatenate([part.number for part in parts])
    source, server = (np.concatenate([getattr(part, name) for part in parts]) for name in ("source_ns", "server_ns"))
    return ValueColumns(row, kind, number, objects, status, source, server)
