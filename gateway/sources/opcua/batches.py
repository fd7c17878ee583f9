"""Splitting service calls by what a server takes at once (OPC UA Part 5, 6.3.11, OperationLimits)."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from gateway.sources.opcua.status import TOO_MUCH, status_name

T = TypeVar("T")
R = TypeVar("R")


class ServiceFault(Exception):
    """The server answered a whole service call with a status; session and transport stay (Part 4, 7.35)."""

    def __init__(self, status: int) -> None:
        self.status = status
        super().__init__(status_name(status))


class Batches:
    """One service's calls, split. Learns when the server takes less than it said."""

    def __init__(self, size: int) -> None:
        self.size = size

    async def run(
        self,
        items: Sequence[T],
        call: Callable[[Sequence[T]], Awaitable[R]],
        refused: Callable[[Sequence[T], int], R],
    ) -> list[R]:
        """One result per call, in the order of `items`.

        A call that is too much for the server is halved, down to one item; any other ServiceFault costs the items of
        that call alone and becomes `refused(items of the call, status)`.
        """
        results: list[R] = []
        start = 0
        while start < len(items):
            batch = items[start : start + self.size]
            try:
                results.append(await call(batch))
            except ServiceFault as fault:
                if fault.status in TOO_MUCH and len(batch) > 1:
                    self.size = len(batch) // 2
                    continue
                results.append(refused(batch, fault.status))
            start += len(batch)
        return results
