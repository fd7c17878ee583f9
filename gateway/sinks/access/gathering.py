"""Messages that are gathered while a batch is on its way, for sinks that write batches."""

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Final

from gateway.core.errors import GatewayError, NotConnected, Permanent, Retryable
from gateway.core.messages import Message
from gateway.core.ports.outbox import Delivery
from gateway.sinks.access.outcome import end

_MOST_BYTES: Final = 32 << 20
"""Of messages on their way; a single one may have more."""


@dataclass(slots=True, eq=False)
class Pending:
    """A message on its way."""

    message: Message
    hist: bool
    """It is sent from backlog."""
    outcome: "asyncio.Future[None]"

    def end(self, error: GatewayError | None) -> None:
        """End it with None, since it has arrived, or with an error."""
        end(self.outcome, error)


class Gathering:
    """Messages that wait for the next batch, and those of the present one."""

    def __init__(self, most: int, batch: int, batch_bytes: int) -> None:
        """Begin closed. most: messages on their way; batch, batch_bytes: limits of one batch."""
        self._most = most
        self._batch = batch
        self._batch_bytes = batch_bytes
        self._waiting: deque[Pending] = deque()
        self._flying: dict[asyncio.Future[None], Pending] = {}
        self._bytes = 0
        self._is_live = self._has_accepted = False
        self._changed = asyncio.Event()
        self._filled = asyncio.Event()

    def begin(self) -> None:
        """Take messages from now on."""
        self._is_live = True
        self._has_accepted = False
        self._changed.set()

    def end(self, reason: str) -> None:
        """Take none any more, and give back what has not ended."""
        self._is_live = False
        self._waiting.clear()
        for pending in list(self._flying.values()):
            pending.end(NotConnected(reason))

    async def room(self) -> int:
        """Wait until messages are taken; return for how many there is room."""
        while not self._is_live or len(self._flying) >= self._most or self._bytes >= _MOST_BYTES:
            self._changed.clear()
            await self._changed.wait()
        return self._most - len(self._flying)

    def add(self, delivery: Delivery) -> "asyncio.Future[None]":
        """Take a message over and return the future of its outcome."""
        outcome: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if not self._is_live:
            end(outcome, NotConnected("not connected"))
            return outcome
        pending = self._flying[outcome] = Pending(delivery.message, not delivery.live, outcome)
        self._bytes += len(delivery.message.payload)
        outcome.add_done_callback(self._landed)
        self._waiting.append(pending)
        self._filled.set()
        return outcome

    def accepted(self, pending: Pending) -> None:
        """End a message: it has arrived."""
        self._has_accepted = True
        pending.end(None)

    def refused(self, pending: Pending, reason: str, *, is_partly: bool = False) -> None:
        """End a message that is not taken: for good, or for now where nothing was taken on this connection yet.

        That says more about the far end than about the message. is_partly: some of its rows were taken.
        """
        self._has_accepted |= is_partly
        pending.end(Permanent(reason) if self._has_accepted else Retryable(reason))

    async def next(self) -> list[Pending]:
        """Return the next batch, at least one message; waits for it. Cancelled, it takes none."""
        while not self._waiting:
            self._filled.clear()
            await self._filled.wait()
        batch: list[Pending] = []
        size = 0
        while self._waiting and len(batch) < self._batch and (not batch or size < self._batch_bytes):
            batch.append(self._waiting.popleft())
            size += len(batch[-1].message.payload)
        return batch

    def _landed(self, outcome: "asyncio.Future[None]") -> None:
        pending = self._flying.pop(outcome)
        self._bytes -= len(pending.message.payload)
        self._changed.set()
