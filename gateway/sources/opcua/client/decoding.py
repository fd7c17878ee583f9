"""Decode answers without holding the event loop: short ones at once, the others on a thread, each within a budget."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from gateway.sources.opcua.codec.bounds import BYTES_AT_ONCE, MOST_ANSWER, MOST_AT_ONCE, Budget
from gateway.sources.opcua.codec.errors import TooLarge
from gateway.sources.opcua.codec.types.bounded_buffer import BoundedBuffer

T = TypeVar("T")


async def decode_answer(answer: BoundedBuffer, read: Callable[[BoundedBuffer], T], most: int = MOST_ANSWER) -> T:
    """Return what `read` makes of an answer, of `most` elements at the most. Raises TooLarge, and what `read` raises.

    `read` may be called twice, the second time on a thread: an answer that looks short may claim much. The interpreter
    switches between that thread and the loop every few milliseconds. If the caller is cancelled, the thread ends soon.
    """
    if len(answer) <= BYTES_AT_ONCE:
        try:
            return read(answer.with_budget(Budget(min(most, MOST_AT_ONCE), may_grow=most > MOST_AT_ONCE)))
        except TooLarge:
            if most <= MOST_AT_ONCE:
                raise
    budget = Budget(most)
    try:
        return await asyncio.to_thread(read, answer.with_budget(budget))
    except asyncio.CancelledError:
        budget.cancel()
        raise
