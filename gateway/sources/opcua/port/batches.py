"""Service calls split by what a server takes at once (OPC UA Part 5, 6.3.11, OperationLimits)."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from gateway.core.bisect import isolate
from gateway.core.retry_timer import DoublingDelay
from gateway.sources.opcua.port.adaptive_timeout import BatchLimit
from gateway.sources.opcua.port.errors import ServiceFault
from gateway.sources.opcua.status.codes import POISONED, TOO_MANY_OPERATIONS, TOO_MUCH

GROW_AFTER: Final = 8
"""Successful calls in a row before a larger one is tried."""
MOST_SKIPPED: Final = 64
"""Runs without a search, at most, after searches that found nothing."""

T = TypeVar("T")
R = TypeVar("R")


class Batches:
    """The calls of one service, split into batches. Learns when the server takes less than it stated."""

    def __init__(self, size: int, limit: BatchLimit | None = None) -> None:
        """Begin with `size` operations in a call. limit: makes calls smaller where the server answers slowly."""
        self.size = size
        self._limit = limit
        self._skips = DoublingDelay(2, MOST_SKIPPED + 1)  # counts runs, not seconds: this one and those that are skipped
        self._skips_left = 0.0

    @property
    def size(self) -> int:
        """Return the number of operations in the next call."""
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
        """Call with all items, in batches. Returns one result per call, in the order of `items`.

        A call that is too much for the server is halved, down to one item; any other ServiceFault costs the items of that
        call alone and becomes `refused(items of the call, status)`. After BadTooManyOperations calls stay that small; what
        was too large may have been so because of one large value, so calls grow again after successes. A call that one of
        its items may have brought down is searched for it (see `isolate`), so that it costs no other; not in each run where
        every item brings it down.
        """
        results: list[R] = []
        start = 0
        self._skips_left = max(0, self._skips_left - 1)
        while start < len(items):
            limit = self._limit
            batch = items[start : start + (self.size if limit is None else min(self.size, limit.most))]
            sent_s = limit.now() if limit is not None else 0.0
            try:
                results.append(await call(batch))
            except ServiceFault as fault:
                if fault.status in TOO_MUCH and len(batch) > 1:
                    self._shrink(len(batch) // 2, for_ever=fault.status == TOO_MANY_OPERATIONS)
                    continue
                if fault.status in POISONED and len(batch) > 1 and not self._skips_left:
                    results += await self._search(batch, call, refused, fault.status)
                else:
                    results.append(refused(batch, fault.status))
            else:
                self._grow(len(batch))
                if limit is not None:
                    limit.record(len(batch), limit.now() - sent_s)
            start += len(batch)
            await asyncio.sleep(0)  # between decoding this answer and encoding the next request
        return results

    async def _search(
        self,
        batch: Sequence[T],
        call: Callable[[Sequence[T]], Awaitable[R]],
        refused: Callable[[Sequence[T], int], R],
        status: int,
    ) -> list[R]:
        """Return the results of all but the culprits: `refused` for each of these, for all items where everything fails."""
        found = await isolate(batch, call, ServiceFault)
        if found.is_hopeless:
            self._skips_left = self._skips.next_s()
            return [refused(batch, status)]
        self._skips.reset()
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
