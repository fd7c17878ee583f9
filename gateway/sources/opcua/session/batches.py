"""Splitting service calls by what a server takes at once (OPC UA Part 5, 6.3.11, OperationLimits)."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from gateway.sources.opcua.patience import Pace
from gateway.sources.opcua.status import TOO_MANY_OPERATIONS, TOO_MUCH, status_name

GROW_AFTER: Final = 8
"""Calls in a row that must go well before a larger one is tried."""

T = TypeVar("T")
R = TypeVar("R")


class ServiceFault(Exception):
    """The server answered a whole service call with a status; session and transport stay (Part 4, 7.35)."""

    def __init__(self, status: int) -> None:
        self.status = status
        super().__init__(status_name(status))


class Batches:
    """One service's calls, split. Learns when the server takes less than it said.

    pace: splits them further where the server takes long.
    """

    def __init__(self, size: int, pace: Pace | None = None) -> None:
        self.size = size
        self._pace = pace

    @property
    def size(self) -> int:
        """Operations in the next call."""
        return self._size

    @size.setter
    def size(self, size: int) -> None:
        self._size = self._most = size
        self._successes = 0

    async def run(
        self,
        items: Sequence[T],
        call: Callable[[Sequence[T]], Awaitable[R]],
        refused: Callable[[Sequence[T], int], R],
    ) -> list[R]:
        """One result per call, in the order of `items`.

        A call that is too much for the server is halved, down to one item; any other ServiceFault costs the items of
        that call alone and becomes `refused(items of the call, status)`. Too many operations are too many for ever; what
        was too large may have been so for the sake of one large value, so calls grow again after some that went well.
        """
        results: list[R] = []
        start = 0
        while start < len(items):
            pace = self._pace
            batch = items[start : start + (self.size if pace is None else min(self.size, pace.most))]
            sent_s = pace.now() if pace is not None else 0.0
            try:
                results.append(await call(batch))
            except ServiceFault as fault:
                if fault.status in TOO_MUCH and len(batch) > 1:
                    self._shrink(len(batch) // 2, for_ever=fault.status == TOO_MANY_OPERATIONS)
                    continue
                results.append(refused(batch, fault.status))
            else:
                self._grow(len(batch))
                if pace is not None:
                    pace.took(len(batch), pace.now() - sent_s)
            start += len(batch)
        return results

    def _shrink(self, size: int, *, for_ever: bool) -> None:
        if for_ever:
            self.size = size
        else:
            self._size, self._successes = size, 0

    def _grow(self, took: int) -> None:
        if self._size < self._most and took == self._size:
            self._successes += 1
            if self._successes == GROW_AFTER:
                self._size, self._successes = min(2 * self._size, self._most), 0
