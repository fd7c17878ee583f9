"""The role `History` of a session: raw history of nodes (OPC UA Part 11, 6.4.3)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.sources.opcua.codec.columns import ValueColumns
from gateway.sources.opcua.port.values import Item


@dataclass(frozen=True, slots=True, eq=False)
class HistoryPage:
    """Part of one node's history."""

    status: int
    """Status code of the node's part of the answer."""
    point: bytes
    """Continuation point behind which there is more; empty where there is not."""
    columns: ValueColumns
    """Values in time order; their `row` means nothing."""


class History(Protocol):
    """History reads. Calls may overlap. Every call raises NotConnected, as those of `Values`."""

    async def readable(self, items: Sequence[Item]) -> list[bool]:
        """Return for each node whether it has a history that the user may read."""
        ...

    async def read(
        self, items: Sequence[Item], start_ns: int, end_ns: int, most: int, points: Sequence[bytes]
    ) -> list[HistoryPage]:
        """Read raw history from `start_ns` to `end_ns` (source times), at most `most` values per node, in one service call.

        Values exactly at the end may come or not. points: per node, the continuation point to go on from, or empty.
        Returns one page per node, in order. Raises ServiceFault where the server refuses the call as a whole.
        """
        ...

    async def release(self, items: Sequence[Item], points: Sequence[bytes]) -> None:
        """Release these continuation points; what is behind them is not wanted."""
        ...
