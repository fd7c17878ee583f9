"""What is kept over restarts: exactly after a proper end, not too early after a crash, and never a reason to fail."""

import json

import numpy as np
import pytest

from gateway.sources.opcua.config.device import OpcUaDevice
from gateway.sources.opcua.port.values import Item
from gateway.sources.opcua.source.history.gaps import Gaps
from gateway.sources.opcua.source.history.watermark import AHEAD_S, LEASE_S, Kept
from tests.support.opcua_fake import DAY_NS

S = 1_000_000_000
LEASE_NS = round(LEASE_S * S)
HELD_S = 3.0
HELD_NS = 3 * S
ITEMS = [Item(0, "ns=1;s=a", S, 1), Item(1, "ns=1;s=b", S, 1, "1:2"), Item(2, "ns=1;s=c", S, 1)]
REFUSED = 0x80020000


class Clock:
    """Sleeps are as long as they should be, and take no time; after `most` of them the sleeper is stopped."""

    def __init__(self, now_ns: int = DAY_NS) -> None:
        self.ns = now_ns
        self.slept: list[float] = []
        self.most = 1_000_000
        self.each = lambda: None

    def now_ns(self) -> int:
        return self.ns

    def monotonic(self) -> float:
        return self.ns / S

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.ns += round(seconds * S)
        self.each()
        if len(self.slept) >= self.most:
            raise StopSleepingError


class StopSleepingError(Exception):
    pass


class Run:
    """One run of the gateway on a folder."""

    def __init__(self, folder, *, items=ITEMS, now_ns=DAY_NS, **config: object) -> None:
        device = {"name": "plc", "protocol": "opcua", "url": "opc.tcp://127.0.0.1", "history_kept": str(folder)} | config
        self.clock = Clock(now_ns)
        self.gaps = Gaps(len(items))
        self.path = folder / "plc.json"
        self.note = folder / "plc.note"
        self.kept = Kept(OpcUaDevice.model_validate(device), items, self.gaps, self.clock, HELD_S)

    def begin(self) -> "Run":
        self.kept.recall()
        self.gaps.begin()
        self.kept.begin()
        return self

    def hear(self, *times: int) -> None:
        """One value of each row, in order."""
        rows = np.arange(len(times), dtype=np.uint32)
        self.gaps.heard(rows, np.array(times, np.int64))
        self.gaps.put(rows, np.array(times, np.int64))

    async def deliver(self, *times: int) -> None:
        self.hear(*times)
        await self.kept.admit()
        self.gaps.take()

    async def beat(self, turns: int = 1) -> None:
        self.clock.slept, self.clock.most = [], turns
        with pytest.raises(StopSleepingError):
            await self.kept.run()
        self.clock.most = 1_000_000

    def gap(self) -> tuple[list[int], tuple[int, int]] | None:
        """Where the first gap begins, and what is skipped before."""
        self.begin()
        return (self.gaps.waiting[0].after.tolist(), self.gaps.skipped) if self.gaps.waiting else None

    def waiting(self) -> list[tuple[list[int], list[int], list[int]]]:
        """What this run is left to read back."""
        self.kept.recall()
        return [(gap.after.tolist(), gap.before.tolist(), gap.counts.tolist()) for gap in self.gaps.waiting]


async def test_after_a_proper_end_each_node_goes_on_where_it_was(tmp_path):
    first = Run(tmp_path).begin()
    await first.deliver(DAY_NS - 5, DAY_NS - 3)
    await first.beat()
    await first.kept.end(at_last=True)
    assert Run(tmp_path).gap() == ([DAY_NS - 5, DAY_NS - 3, 0], (0, 0))
    turned = [ITEMS[2], ITEMS[1], ITEMS[0]]
    assert Run(tmp_path, items=turned).gap() == ([0, DAY_NS - 3, DAY_NS - 5], (0, 0))


async def test_a_node_that_says_nothing_for_a_whole_run_is_not_forgotten(tmp_path):
    first = Run(tmp_path).begin()
    await first.deliver(DAY_NS - 5, DAY_NS - 3)
    await first.kept.end(at_last=True)
    second = Run(tmp_path).begin()
    await second.deliver(DAY_NS)
    await second.kept.end(at_last=True)
    third = Run(tmp_path).begin()
    assert [gap.after.tolist() for gap in third.gaps.waiting] == [[DAY_NS - 5, 0, 0], [DAY_NS, DAY_NS - 3, 0]]
    assert third.gaps.waiting[0].rows(9) == [0], "the gap of the other one goes on"


async def test_nothing_is_handed_on_before_the_disk_says_that_it_may_have_been(tmp_path):
    run = Run(tmp_path).begin()
    assert run.kept.admits, "nothing waits"
    for k in (0, 5, 20, 3600):
        run.hear(DAY_NS + k * S)
        await run.kept.admit()
        assert Run(tmp_path).gap()[0][0] >= DAY_NS + k * S


async def test_after_a_crash_nothing_that_may_have_been_told_is_read_again(tmp_path):
    first = Run(tmp_path).begin()
    await first.deliver(DAY_NS, DAY_NS - 3)
    crashed = Run(tmp_path)
    assert crashed.gap() == ([DAY_NS + LEASE_NS] * 3, (DAY_NS - HELD_NS, HELD_NS + LEASE_NS))
    crashed.hear(DAY_NS + 2 * S, DAY_NS + 3 * S, DAY_NS)
    crashed.gaps.settle(DAY_NS + 3 * S)
    (gap,) = crashed.gaps.waiting
    assert (gap.skipped_from_ns, gap.skipped_ns) == (DAY_NS - HELD_NS, HELD_NS + 3 * S), "no more than there can have been"
    assert gap.rows(9) == []


async def test_a_crash_after_a_crash_tells_of_both(tmp_path):
    """The second run has handed on something, but crashed before the gap was kept as such."""
    await Run(tmp_path).begin().deliver(DAY_NS)
    await Run(tmp_path).begin().deliver(DAY_NS + 3600 * S)
    assert Run(tmp_path).gap() == ([DAY_NS + 3600 * S + LEASE_NS] * 3, (DAY_NS - HELD_NS, HELD_NS + 3600 * S + LEASE_NS))


async def test_the_note_is_written_every_few_seconds_and_only_when_there_is_news(tmp_path):
    run = Run(tmp_path).begin()
    await run.beat(5)
    assert not run.path.exists()
    assert not run.note.exists()
    await run.deliver(DAY_NS)
    size = run.note.stat().st_size
    written = set()
    run.clock.each = lambda: (written.add(run.note.read_bytes()), run.hear(run.clock.ns))
    await run.beat(160)
    assert len(written) <= 160 / (LEASE_S - AHEAD_S) + 2
    assert run.kept.admits, "renewed in time, so that samples need not wait"
    assert run.note.stat().st_size == size
    run.clock.each = lambda: written.add(run.note.read_bytes())
    await run.beat(2)
    written.clear()
    await run.beat(150)
    assert len(written) == 1


async def test_a_connection_that_breaks_again_and_again_is_written_once_a_minute(tmp_path):
    run = Run(tmp_path).begin()
    for k in range(10):
        await run.deliver(DAY_NS + k)
        await run.kept.end(at_last=False)
    assert json.loads(run.path.read_text())["nodes"] == {"ns=1;s=a": DAY_NS}
    assert Run(tmp_path).gap()[0][0] > DAY_NS + 9, "the note knows better"
    await run.kept.end(at_last=True)
    assert json.loads(run.path.read_text())["nodes"] == {"ns=1;s=a": DAY_NS + 9}
    assert Run(tmp_path).gap()[0][0] == DAY_NS + 9


async def test_without_news_an_end_leaves_the_file_of_the_run_before(tmp_path):
    first = Run(tmp_path).begin()
    await first.deliver(DAY_NS)
    await first.kept.end(at_last=True)
    before = first.path.read_bytes()
    second = Run(tmp_path).begin()
    await second.beat(3)
    await second.kept.end(at_last=True)
    assert first.path.read_bytes() == before


async def read_slice(run: Run, start_s: int, end_s: int, rows=(0, 1)) -> None:
    """Hand on one value per row of a slice."""
    gap = run.gaps.waiting[0]
    await run.kept.ahead(gap, DAY_NS + start_s * S, DAY_NS + end_s * S)
    gap.lend(list(rows), DAY_NS + start_s * S, DAY_NS + end_s * S, dict.fromkeys(rows, 1))


async def away(folder) -> Run:
    """A run that was stopped at 0 s and is back at 100 s: 100 s are to be read back of rows 0 and 1."""
    first = Run(folder).begin()
    await first.deliver(DAY_NS, DAY_NS)
    await first.kept.end(at_last=True)
    second = Run(folder, now_ns=DAY_NS + 100 * S).begin()
    await second.deliver(DAY_NS + 100 * S, DAY_NS + 100 * S)
    second.gaps.settle(DAY_NS + 100 * S)
    await second.kept.settled()
    return second


def at(*seconds: float) -> list[int]:
    return [DAY_NS + round(s * S) for s in seconds]


async def test_a_gap_that_is_being_read_back_at_an_end_goes_on_where_it_was(tmp_path):
    run = await away(tmp_path)
    await read_slice(run, 0, 10)
    await read_slice(run, 10, 30)
    await run.kept.end(at_last=True)
    third = Run(tmp_path)
    assert third.waiting() == [([at(30)[0] - 1] * 2 + [0], [*at(100, 100), 0], [2, 2, 0])]
    (gap,) = third.gaps.waiting
    assert (gap.is_resumed, gap.skipped_ns, third.gaps.skipped) == (True, 0, (0, 0))


async def test_what_was_read_and_not_taken_at_an_end_is_read_again(tmp_path):
    run = await away(tmp_path)
    await read_slice(run, 0, 10)
    await read_slice(run, 10, 30)
    run.gaps.waiting[0].return_lent(1, 1)
    await run.kept.end(at_last=True)
    assert Run(tmp_path).waiting() == [([at(10)[0] - 1] * 2 + [0], [*at(100, 100), 0], [1, 1, 0])]


async def test_after_a_crash_a_gap_goes_on_behind_what_may_have_been_handed_on(tmp_path):
    """Of the slices of the last seconds nobody knows how far they got: they are told as skipped."""
    run = await away(tmp_path)
    await read_slice(run, 0, 10)
    run.clock.ns += round(2 * HELD_S * S)
    await read_slice(run, 10, 30)
    run.clock.ns += round(2 * HELD_S * S)
    await read_slice(run, 30, 60)
    third = Run(tmp_path)
    assert third.waiting() == [([at(60)[0] - 1] * 2 + [0], [*at(100, 100), 0], [0, 0, 0])]
    (gap,) = third.gaps.waiting
    assert [gap.skipped_from_ns, gap.skipped_from_ns + gap.skipped_ns] == at(10, 60)


async def test_after_a_crash_a_gap_of_which_nothing_was_handed_on_is_whole(tmp_path):
    await away(tmp_path)
    third = Run(tmp_path)
    assert third.waiting() == [([DAY_NS, DAY_NS, 0], [*at(100, 100), 0], [0, 0, 0])]
    assert third.gaps.waiting[0].skipped_ns == 0


async def test_a_gap_that_was_closed_before_a_crash_is_not_opened_again(tmp_path):
    run = await away(tmp_path)
    await read_slice(run, 0, 100)
    run.kept.closed(run.gaps.waiting.popleft())
    third = Run(tmp_path)
    third.kept.recall()
    assert [(gap.rows(9), gap.skipped_ns) for gap in third.gaps.waiting] == [([], 100 * S)], "how much was lost with it?"
    await run.beat(round(2 * HELD_S))
    third = Run(tmp_path)
    third.kept.recall()
    assert [(gap.rows(9), gap.skipped_ns) for gap in third.gaps.waiting] == [([], 0)]


async def test_after_a_crash_refused_nodes_are_still_missing(tmp_path):
    run = await away(tmp_path)
    await read_slice(run, 0, 10)
    run.gaps.waiting[0].aside[1] = REFUSED
    await read_slice(run, 10, 30, rows=[0])
    await read_slice(run, 30, 50, rows=[0])
    third = Run(tmp_path)
    assert third.waiting() == [([at(50)[0] - 1, at(10)[0] - 1, 0], [*at(100, 100), 0], [1, 1, 0])]


async def test_refused_nodes_that_are_asked_again_are_kept_as_such(tmp_path):
    run = await away(tmp_path)
    run.gaps.waiting[0].aside[1] = REFUSED
    await read_slice(run, 0, 100, rows=[0])
    run.kept.closed(run.gaps.waiting[0])
    run.gaps.waiting[0].retry()
    await run.kept.settled()
    assert Run(tmp_path).waiting() == [([0, DAY_NS, 0], [0, *at(100), 0], [0, 0, 0])]


async def test_gaps_are_kept_as_a_whole_a_few_times_and_then_once_a_minute(tmp_path):
    run = await away(tmp_path)
    for _ in range(10):
        await run.kept.settled()
    assert sum(run.clock.slept) == pytest.approx(6 * 60)


CONTENTS = [
    b"",
    b"\xff\xfe",
    b"[]",
    b"{}",
    b'{"urls": ["opc.tcp://127.0.0.1:4840"], "exact": true}',
    b'{"urls": ["opc.tcp://127.0.0.1:4840"], "exact": true, "nodes": {"ns=1;s=a": "now"}}',
    b'{"urls": ["opc.tcp://127.0.0.1:4840"], "exact": false, "newest": -1}',
    b'{"urls": ["opc.tcp://127.0.0.1:4840"], "exact": false, "newest": 1e300}',
    b'{"urls": ["opc.tcp://127.0.0.1:4840"], "exact": true, "nodes": {"ns=1;s=a": 99999999999999999999999}}',
    b'{"urls": ["opc.tcp://127.0.0.1:4840"], "exact": true, "nodes": {}, "gaps": [{"number": 1}]}',
    b'{"urls": ["opc.tcp://127.0.0.1:4840"], "exact": true, "nodes": {}, "gaps": 3}',
    b'{"urls": ["opc.tcp://127.0.0.1:4840"], "number": "x", "newest": 0, "limit": 0, "read": {}, "nodes": {}}',
    b'{"urls": ["opc.tcp://127.0.0.1:4840"], "number": 1, "newest": 0, "limit": 0, "read": {"x": [0]}, "nodes": {}}',
    b'{"urls": ["opc.tcp://elsewhere:4840"], "exact": true, "nodes": {"ns=1;s=a": 5}}',
]


@pytest.mark.parametrize("content", CONTENTS)
def test_a_file_that_makes_no_sense_is_no_gap(tmp_path, content, caplog):
    run = Run(tmp_path)
    run.path.write_bytes(content)
    assert run.gap() is None
    assert "history begins anew" in caplog.text


def test_the_file_of_an_older_version_is_understood(tmp_path):
    run = Run(tmp_path)
    run.path.write_text(json.dumps({"urls": ["opc.tcp://127.0.0.1:4840"], "exact": True, "nodes": {"ns=1;s=a": 5}}))
    assert run.gap() == ([5, 0, 0], (0, 0))
    run.path.write_text(json.dumps({"urls": ["opc.tcp://127.0.0.1:4840"], "exact": False, "newest": 5}))
    assert Run(tmp_path).gap() == ([5 + 60 * S] * 3, (5, 60 * S))


async def test_a_torn_note_leaves_the_one_before(tmp_path):
    """Nothing that needs a note is handed on while it is being written, so the one before is right."""
    run = Run(tmp_path).begin()
    await run.deliver(DAY_NS)
    await run.deliver(DAY_NS + 60 * S)
    whole = run.note.read_bytes()
    for torn in (whole[:4000] + b"\x00" * 96 + whole[4096:], whole[:4096] + b"\x00" * 4096):
        run.note.write_bytes(torn)
        assert Run(tmp_path).gap()[0][0] in (DAY_NS + LEASE_NS, DAY_NS + 60 * S + LEASE_NS)
    run.note.write_bytes(b"\x00" * 8192)
    assert Run(tmp_path).gap() is None


async def test_notes_go_on_in_the_place_that_is_older(tmp_path):
    await Run(tmp_path).begin().deliver(DAY_NS)
    for k in range(1, 6):
        run = Run(tmp_path).begin()
        await run.deliver(DAY_NS + 60 * k * S)
        assert Run(tmp_path).gap()[0][0] == DAY_NS + 60 * k * S + LEASE_NS


async def test_what_cannot_be_written_is_told_once_and_holds_up_nothing(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    run = Run(tmp_path / "file" / "below").begin()
    for k in range(2):
        await run.deliver(DAY_NS + k * 60 * S)
        await run.kept.end(at_last=True)
    assert caplog.text.count("cannot be kept") == 1


async def test_what_cannot_be_renewed_is_removed_and_comes_back_with_the_disk(tmp_path, monkeypatch):
    run = Run(tmp_path).begin()
    await run.deliver(DAY_NS)
    await run.kept.end(at_last=True)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(run.kept._book, "note", full)
        patch.setattr(run.kept._book, "replace", full)
        await run.deliver(DAY_NS + 3600 * S)
    assert Run(tmp_path).gap() is None
    await run.beat(70)
    assert Run(tmp_path).gap()[0][0] > DAY_NS + 3600 * S


async def test_an_older_content_never_replaces_a_newer_one(tmp_path):
    book = Run(tmp_path).kept._book
    older, newer = book.ticket(), book.ticket()
    book.replace(b'"new"', newer)
    book.replace(b'"old"', older)
    book.note({"limit": 1}, older)
    assert (tmp_path / "plc.json").read_bytes() == b'"new"'
    assert not (tmp_path / "plc.note").exists()
