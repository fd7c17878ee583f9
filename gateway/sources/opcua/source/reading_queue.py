"""The bounded queue between a source's tasks and its reader."""

import asyncio
from collections import deque
from dataclasses import replace

import numpy as np

from gateway.core.blocks import ObjectBlock, SampleBlock
from gateway.core.events.event import Event
from gateway.core.messages import DeviceState
from gateway.core.ports.source import Reading


class ReadingQueue:
    """Samples, events and the latest device state on their way to one reader. Bounded: writers wait, nothing is dropped."""

    def __init__(self, limit: int) -> None:
        """limit: samples that may wait; a single larger block is let in when nothing else waits."""
        self._limit = limit
        self.clear()

    def clear(self) -> None:
        """As new; nobody may be waiting."""
        self._held = 0
        self._blocks: list[SampleBlock] = []
        self._late: deque[SampleBlock | ObjectBlock] = deque()
        self._late_put = 0
        self._state: DeviceState | None = None
        self._told: DeviceState | None = None
        self._others: list[Event | ObjectBlock | SampleBlock] = []
        self._room = asyncio.Event()
        self._news = asyncio.Event()

    async def put(self, block: SampleBlock) -> None:
        """Add samples, once there is room. Cancelled, it adds them at once: a lost connection costs nothing received."""
        try:
            while self._held and self._held + len(block) > self._limit:
                self._room.clear()
                await self._room.wait()
        finally:
            if len(block):
                self._held += len(block)
                self._blocks.append(block)
                self._news.set()

    async def put_late(self, *blocks: SampleBlock | ObjectBlock) -> None:
        """Add what is past, taken when nothing else waits; returns when it is. One caller at a time."""
        self._late.extend(replace(block, history=True) for block in blocks if len(block))
        self._late_put = len(self._late)
        if self._late:
            self._news.set()
        while self._late:
            self._room.clear()
            await self._room.wait()

    def tell(self, state: DeviceState) -> None:
        """Set the device state; told once, and only when it differs from the one told before."""
        self._state = None if state == self._told else state
        if self._state is not None:
            self._news.set()

    def report(self, event: Event | ObjectBlock | SampleBlock) -> None:
        """Add an event, values that are no numbers, or what holds after all: few, so they do not count against the limit."""
        self._others.append(event)
        self._news.set()

    @property
    def late_parts(self) -> tuple[int, int]:
        """Of the past that was added last: how many blocks are not taken, of how many."""
        return len(self._late), self._late_put

    @property
    def is_taken(self) -> bool:
        """All that was added is taken, but for the past."""
        return not (self._blocks or self._others)

    def wake(self) -> None:
        """Let the reader look around."""
        self._news.set()

    def take(self) -> Reading | None:
        """The state if there is news, else an event or objects, else all samples that wait as one block, else the past, else
        None."""
        if self._state is not None:
            self._told, self._state = self._state, None
            return self._told
        if self._others:
            return self._others.pop(0)
        if not self._blocks:
            late = self._late.popleft() if self._late else None
            self._room.set()
            return late
        blocks, self._blocks, self._held = self._blocks, [], 0
        self._room.set()
        if len(blocks) == 1:
            return blocks[0]
        return SampleBlock(
            np.concatenate([block.tag for block in blocks]),
            np.concatenate([block.time for block in blocks]),
            np.concatenate([block.value for block in blocks]),
            np.concatenate([block.quality for block in blocks]),
        )

    async def wait(self) -> None:
        """Return when there may be something to take."""
        await self._news.wait()
        self._news.clear()
