"""Watermarks in memory: what is written when, who waits for it, and what a source is told when the disk refuses."""

import asyncio

import pytest

from gateway.core.ports.watermarks import StoredWatermark
from gateway.outbox.memory.watermarks import DELAY_S, MOST_WAIT_S, PendingWatermarks
from tests.support.clock import ManualClock, settle


class Loop:
    """The commit loop's side, by hand."""

    def __init__(self) -> None:
        self.clock = ManualClock(monotonic_s=0)
        self.refuses = False
        self.wakes = 0
        self.doubts = 0
        self.disk: dict[str, StoredWatermark] = {}
        self.pending = PendingWatermarks(self.clock, self._wake, lambda: self.refuses, self._doubt)

    def _wake(self) -> None:
        self.wakes += 1

    async def _doubt(self) -> None:
        self.doubts += 1

    def open(self, *, is_complete: bool = True, in_doubt: bool = False, **rescued: StoredWatermark) -> None:
        self.pending.adopt(self.disk, rescued, is_complete=is_complete, in_doubt=in_doubt)

    def commit(self) -> None:
        self.pending.refresh()
        changes = self.pending.changes()
        self.disk.update(changes)
        self.pending.saved(changes)
        self.pending.commit_ended()


@pytest.fixture
def loop() -> Loop:
    made = Loop()
    made.open()
    return made


async def test_what_is_put_is_due_two_seconds_later_and_durable_with_any_commit(loop):
    assert loop.pending.due_at is None
    loop.pending.put("a", b"1")
    await loop.clock.advance(1)
    loop.pending.put("b", b"2")
    assert loop.pending.due_at == DELAY_S, "of the oldest"
    assert not loop.pending.is_durable("a")
    loop.commit()
    assert loop.pending.is_durable("a")
    assert loop.pending.due_at is None
    assert loop.disk == {"a": StoredWatermark(b"1"), "b": StoredWatermark(b"2")}


async def test_a_flush_wakes_the_loop_and_returns_with_the_commit(loop):
    loop.pending.put("a", b"1")
    waiting = asyncio.create_task(loop.pending.flush("a"))
    await settle()
    assert (loop.wakes, loop.pending.due_at, waiting.done()) == (1, 0.0, False)
    loop.commit()
    assert await waiting


async def test_a_flush_of_what_is_durable_costs_nothing(loop):
    loop.pending.put("a", b"1")
    loop.commit()
    assert await loop.pending.flush("a")
    assert loop.wakes == 0


async def test_what_is_put_during_a_commit_needs_another_one(loop):
    loop.pending.put("a", b"1")
    changes = loop.pending.changes()
    loop.pending.put("a", b"2")
    waiting = asyncio.create_task(loop.pending.flush("a"))
    await settle()
    loop.pending.saved(changes)
    loop.pending.commit_ended()
    await settle()
    assert not waiting.done()
    loop.commit()
    assert await waiting
    assert loop.disk["a"].value == b"2"


async def test_a_refusal_ends_a_flush_and_leaves_the_content_uncertain(loop):
    loop.pending.put("a", b"1")
    loop.pending.put("b", b"1")
    waiting = asyncio.create_task(loop.pending.flush("a"))
    await settle()
    loop.refuses = True
    loop.pending.commit_ended()
    assert not await waiting
    assert loop.doubts == 1, "it is noted outside of the database"
    loop.commit()
    assert loop.disk == {"a": StoredWatermark(b"1", is_certain=False), "b": StoredWatermark(b"1")}
    loop.pending.put("a", b"2")
    loop.commit()
    assert loop.disk["a"] == StoredWatermark(b"2")


async def test_a_disk_that_says_nothing_holds_a_source_up_for_five_seconds(loop):
    loop.pending.put("a", b"1")
    waiting = asyncio.create_task(loop.pending.flush("a"))
    await loop.clock.advance(MOST_WAIT_S - 0.1)
    assert not waiting.done()
    await loop.clock.advance(0.2)
    assert not await waiting


async def test_a_disk_that_is_back_while_doubt_is_noted_makes_it_durable_after_all(loop):
    async def doubt() -> None:
        loop.commit()

    loop.pending._doubt = doubt
    loop.pending.put("a", b"1")
    loop.refuses = True
    assert await loop.pending.flush("a")
    assert loop.disk["a"].is_certain


async def test_sources_renew_what_they_have_with_each_commit(loop):
    loop.pending.before_commit(lambda: loop.pending.put("b", b"fresh"))
    loop.pending.put("a", b"1")
    loop.commit()
    assert loop.disk["b"] == StoredWatermark(b"fresh")


async def test_before_a_file_was_opened_everything_counts_as_lost():
    loop = Loop()
    assert loop.pending.load("a") == StoredWatermark(b"", is_certain=False)
    loop.open()
    assert loop.pending.load("b") is None
    loop.commit()
    assert loop.disk == {"a": StoredWatermark(b"", is_certain=False)}, "who was told so goes on from nothing"


async def test_after_a_run_in_doubt_what_is_missing_is_lost_as_well():
    """The disk took nothing from a source that began in that run."""
    loop = Loop()
    loop.open(in_doubt=True)
    assert loop.pending.load("a") == StoredWatermark(b"", is_certain=False)


async def test_what_memory_knows_goes_into_another_file(loop):
    loop.pending.put("a", b"1")
    loop.commit()
    loop.disk = {}
    loop.open()
    assert not loop.pending.is_durable("a")
    loop.commit()
    assert loop.disk == {"a": StoredWatermark(b"1")}


async def test_what_was_rescued_is_uncertain_and_what_was_not_is_lost():
    loop = Loop()
    loop.open(is_complete=False, a=StoredWatermark(b"1", is_certain=False))
    assert loop.pending.load("a") == StoredWatermark(b"1", is_certain=False)
    assert loop.pending.load("b") == StoredWatermark(b"", is_certain=False)
    loop.commit()
    assert loop.disk["a"] == StoredWatermark(b"1", is_certain=False), "a crash now leaves it as uncertain as it was"


async def test_after_doubt_nothing_in_the_file_is_certain():
    loop = Loop()
    loop.disk = {"a": StoredWatermark(b"1")}
    loop.open(in_doubt=True)
    assert loop.pending.load("a") == StoredWatermark(b"1", is_certain=False)
    assert not loop.pending.is_durable("a"), "the file does not say so yet"


async def test_a_flush_that_is_cancelled_leaves_the_content_to_the_next_commit(loop):
    loop.pending.put("a", b"1")
    waiting = asyncio.create_task(loop.pending.flush("a"))
    await settle()
    waiting.cancel()
    await settle()
    loop.commit()
    assert loop.disk == {"a": StoredWatermark(b"1")}
