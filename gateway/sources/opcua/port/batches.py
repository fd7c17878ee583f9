"""Splitting service calls by what a server takes at once (OPC UA Part 5, 6.3.11, OperationLimits)."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from gateway.core.bisect import isolate
from gateway.sources.opcua.port.adaptive_timeout import Pace
from gateway.sources.opcua.port.errors import ServiceFault
from gateway.sources.opcua.status.codes import POISONED, TOO_MANY_OPERATIONS, TOO_MUCH

GROW_AFTER: Final = 8
"""Calls in a row that must go well before a larger one is tried."""
MOST_PATIENCE: Final = 64
"""Runs without a search after one that was in vain."""

T = TypeVar("T")
R = TypeVar("R")


class Batches:
    """One service's calls, split. Learns when the server takes less than it said.

    pace: splits them further where the server takes long.
    """

    def __init__(self, size: int, pace: Pace | None = None) -> None:
        self.size = size
        self._pace = pace
        self._patience = self._waits = 0

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
        A call that one of its items may have brought down is searched for it (see `isolate`), so that it costs no other;
        not at each run where every item brings it down.
        """
        results: list[R] = []
        start = 0
        self._waits = max(0, self._waits - 1)
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
                if fault.status in POISONED and len(batch) > 1 and not self._waits:
                    results += await self._search(batch, call, refused, fault.status)
                else:
                    results.append(refused(batch, fault.status))
            else:
                self._grow(len(batch))
                if pace is not None:
                    pace.took(len(batch), pace.now() - sent_s)
            start += len(batch)
        return results

    async def _search(
        self,
        batch: Sequence[T],
        call: Callable[[Sequence[T]], Awaitable[R]],
        refused: Callable[[Sequence[T], int], R],
        status: int,
    ) -> list[R]:
        """What all but the culprits have to say; `refused` for each of these alone, or for all where everything fails."""
        found = await isolate(batch, call, ServiceFault)
        if found.is_hopeless:
            self._patience = min(MOST_PATIENCE, 2 * self._patience + 1)
            self._waits = self._patience + 1
            return [refused(batch, status)]
        self._patience = 0
        results = dict(found.results)
        for place, fault in found.culprits.items():
            assert isinstance(fault, ServiceFault)
            results[place] = refused(batch[place : place + 1], fault.status)
        results |= {part.start: refused(batch[part.start : part.stop], status) for part in found.unknown}
        return [results[start] for start in sorted(results)]

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
