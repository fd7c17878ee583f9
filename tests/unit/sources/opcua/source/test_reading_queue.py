"""The bounded queue between a source's tasks and its reader."""

import asyncio

import numpy as np

from gateway.core.blocks import SampleBlock
from gateway.core.messages import DeviceState
from gateway.core.quality import Quality
from gateway.sources.opcua.source.reading_queue import ReadingQueue
from tests.support.opcua_fake import settle

OK, DEGRADED = DeviceState(0, "ok"), DeviceState(0, "degraded", "why")


def block(*tags: int) -> SampleBlock:
    return SampleBlock.bad(np.array(tags, np.uint32), 0, Quality.BAD)


async def test_waiting_blocks_are_merged_in_order_behind_the_state():
    inbox = ReadingQueue(10)
    await inbox.put(block(1, 2))
    await inbox.put(block(3))
    inbox.set_state(OK)
    assert inbox.pop() == OK
    merged = inbox.pop()
    assert isinstance(merged, SampleBlock)
    assert merged.tag.tolist() == [1, 2, 3]
    assert inbox.pop() is None


async def test_a_full_inbox_makes_the_writer_wait_and_drops_nothing():
    inbox = ReadingQueue(3)
    await inbox.put(block(1, 2))
    writer = asyncio.create_task(inbox.put(block(3, 4)))
    await settle()
    assert not writer.done()
    assert len(inbox.pop()) == 2
    await writer
    assert inbox.pop().tag.tolist() == [3, 4]


async def test_a_block_larger_than_the_limit_passes_when_nothing_waits():
    inbox = ReadingQueue(3)
    await inbox.put(block(*range(10)))
    assert len(inbox.pop()) == 10


async def test_a_state_is_told_once_and_only_when_it_differs():
    inbox = ReadingQueue(3)
    inbox.set_state(OK)
    assert inbox.pop() == OK
    inbox.set_state(OK)
    assert inbox.pop() is None
    inbox.set_state(DEGRADED)
    inbox.set_state(OK)
    assert inbox.pop() is None


async def test_wait_returns_when_something_came():
    inbox = ReadingQueue(3)
    waiter = asyncio.create_task(inbox.wait())
    await settle()
    assert not waiter.done()
    await inbox.put(block(1))
    await asyncio.wait_for(waiter, 1)


async def test_the_past_comes_when_nothing_else_waits_and_is_marked():
    inbox = ReadingQueue(10)
    writer = asyncio.create_task(inbox.put_past(block(7)))
    await settle()
    await inbox.put(block(1))
    first, second = inbox.pop(), inbox.pop()
    assert (first.tag.tolist(), first.history) == ([1], False)
    assert (second.tag.tolist(), second.history) == ([7], True)
    await writer
    await inbox.put_past(block())
    assert inbox.pop() is None


async def test_one_block_of_the_past_waits_at_a_time():
    inbox = ReadingQueue(10)
    writers = asyncio.create_task(inbox.put_past(block(7)))
    await settle()
    assert not writers.done()
    inbox.pop()
    await writers


async def test_what_a_cancelled_writer_held_is_not_lost():
    inbox = ReadingQueue(3)
    await inbox.put(block(1, 2, 3))
    writer = asyncio.create_task(inbox.put(block(4)))
    await settle()
    writer.cancel()
    await asyncio.gather(writer, return_exceptions=True)
    assert inbox.pop().tag.tolist() == [1, 2, 3, 4]
