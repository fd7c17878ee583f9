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
    """Samples, events and the latest device state for one reader. Bounded: writers of samples wait, nothing is dropped."""

    def __init__(self, limit: int) -> None:
        """Begin empty. limit: samples that may wait; a single larger block is let in when nothing else waits."""
        self._limit = limit
        self.clear()

    def clear(self) -> None:
        """Drop everything, also what is known of the last device state. Nobody may be waiting."""
        self._held = 0
        self._blocks: list[SampleBlock] = []
        self._past: deque[SampleBlock | ObjectBlock] = deque()
        self._past_put = 0
        self._state: DeviceState | None = None
        self._read_state: DeviceState | None = None
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

    async def put_past(self, *blocks: SampleBlock | ObjectBlock) -> None:
        """Add history, read when nothing else waits; return when it is read. One caller at a time."""
        self._past.extend(replace(block, history=True) for block in blocks if len(block))
        self._past_put = len(self._past)
        if self._past:
            self._news.set()
        while self._past:
            self._room.clear()
            await self._room.wait()

    def set_state(self, state: DeviceState) -> None:
        """Replace the device state; it is read once, and only where it differs from the one read before."""
        self._state = None if state == self._read_state else state
        if self._state is not None:
            self._news.set()

    def push(self, reading: Event | ObjectBlock | SampleBlock) -> None:
        """Add an event, objects, or repeated samples at once: they are few and do not count against the limit."""
        self._others.append(reading)
        self._news.set()

    @property
    def past_parts(self) -> tuple[int, int]:
        """Return how many blocks of the last `put_past` are unread, and how many there were."""
        return len(self._past), self._past_put

    @property
    def is_drained(self) -> bool:
        """Return whether all is read but history and the device state."""
        return not (self._blocks or self._others)

    def wake(self) -> None:
        """Let the reader return from `wait`."""
        self._news.set()

    def pop(self) -> Reading | None:
        """Return the device state where it is news, else an event or objects, else all samples as one block, else history.

        None where nothing waits.
        """
        if self._state is not None:
            self._read_state, self._state = self._state, None
            return self._read_state
        if self._others:
            return self._others.pop(0)
        if not self._blocks:
            past = self._past.popleft() if self._past else None
            self._room.set()
            return past
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
        """Return when there may be something to pop."""
        await self._news.wait()
        self._news.clear()
