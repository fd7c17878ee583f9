"""What is kept over restarts: exactly after a proper end, not too early after a crash, and never a reason to fail."""

import json

import pytest

from gateway.sources.opcua.config import OpcUaDevice
from gateway.sources.opcua.connection import Item
from gateway.sources.opcua.history.gaps import Gaps
from gateway.sources.opcua.history.kept import KEEP_S, Kept
from tests.support.opcua_fake import DAY_NS, values

S = 1_000_000_000
ITEMS = [Item(0, "ns=1;s=a", S, 1), Item(1, "ns=1;s=b", S, 1, "1:2"), Item(2, "ns=1;s=c", S, 1)]


class Clock:
    """Sleeps are as long as they should be, and take no time; after `most` of them the sleeper is stopped."""

    def __init__(self, now_ns: int = DAY_NS) -> None:
        self.ns = now_ns
        self.slept: list[float] = []
        self.most = 1
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
        self.kept = Kept(OpcUaDevice.model_validate(device), items, self.gaps, self.clock)

    def deliver(self, *times: int) -> None:
        given = values(list(range(len(times))), [1.0] * len(times), source_ns=list(times)).columns
        self.gaps.heard(given)
        self.gaps.put(given)
        self.gaps.take()

    async def beat(self, turns: int = 1) -> None:
        self.clock.slept, self.clock.most = [], turns
        with pytest.raises(StopSleepingError):
            await self.kept.run()

    def gap(self) -> tuple[list[int], int] | None:
        self.kept.recall()
        self.gaps.begin()
        return (self.gaps.waiting[0].after.tolist(), self.gaps.waiting[0].skipped_ns) if self.gaps.waiting else None


async def test_after_a_proper_end_each_node_goes_on_where_it_was(tmp_path):
    first = Run(tmp_path)
    first.deliver(DAY_NS - 5, DAY_NS - 3)
    await first.beat()
    await first.kept.end(at_last=True)
    assert Run(tmp_path).gap() == ([DAY_NS - 5, DAY_NS - 3, 0], 0)
    turned = [ITEMS[2], ITEMS[1], ITEMS[0]]
    assert Run(tmp_path, items=turned).gap() == ([0, DAY_NS - 3, DAY_NS - 5], 0)


async def test_after_a_crash_nothing_that_may_have_been_told_is_read_again(tmp_path):
    first = Run(tmp_path)
    first.deliver(DAY_NS, DAY_NS - 3)
    await first.beat()
    after = DAY_NS + round(KEEP_S * S)
    assert Run(tmp_path, now_ns=DAY_NS + 3600 * S).gap() == ([after] * 3, round(KEEP_S * S))
    soon = Run(tmp_path, now_ns=DAY_NS + 2 * S)
    assert soon.gap() == ([DAY_NS + 2 * S] * 3, 2 * S)


async def test_the_file_is_written_once_a_minute_and_only_when_there_is_news(tmp_path):
    run = Run(tmp_path)
    await run.beat(5)
    assert not run.path.exists()
    run.deliver(DAY_NS)
    written = []
    run.clock.each = lambda: (written.append(run.path.read_text()), run.deliver(run.clock.ns))
    await run.beat(150)
    assert len(set(written)) == 3
    run.clock.each = lambda: written.append(run.path.read_text())
    del written[:]
    await run.beat(150)
    assert len(set(written)) <= 2, "the last news, and then nothing"


async def test_the_file_says_that_a_run_has_begun_before_a_second_is_over(tmp_path):
    first = Run(tmp_path)
    first.deliver(DAY_NS)
    await first.kept.end(at_last=True)
    assert json.loads(first.path.read_text())["exact"]
    second = Run(tmp_path)
    second.kept.recall()
    await second.beat(3)
    assert json.loads(second.path.read_text())["exact"], "nothing was handed on yet"
    second.deliver(DAY_NS + S)
    await second.beat()
    assert not json.loads(second.path.read_text())["exact"]


async def test_a_connection_that_breaks_again_and_again_is_written_once_a_minute(tmp_path):
    run = Run(tmp_path)
    for k in range(10):
        run.deliver(DAY_NS + k)
        await run.kept.end(at_last=False)
    assert json.loads(run.path.read_text())["nodes"] == {"ns=1;s=a": DAY_NS}
    await run.kept.end(at_last=True)
    assert json.loads(run.path.read_text())["nodes"] == {"ns=1;s=a": DAY_NS + 9}


async def test_without_news_an_end_leaves_the_file_of_the_run_before(tmp_path):
    first = Run(tmp_path)
    first.deliver(DAY_NS)
    await first.kept.end(at_last=True)
    before = first.path.read_bytes()
    second = Run(tmp_path)
    second.kept.recall()
    await second.kept.end(at_last=True)
    assert first.path.read_bytes() == before


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"{}",
        b'{"urls": ["opc.tcp://127.0.0.1:4840"], "exact": true}',
        b'{"urls": ["opc.tcp://127.0.0.1:4840"], "exact": true, "nodes": {"ns=1;s=a": "now"}}',
        b'{"urls": ["opc.tcp://127.0.0.1:4840"], "exact": false, "newest": -1}',
        b'{"urls": ["opc.tcp://127.0.0.1:4840"], "exact": false, "newest": 1e300}',
        b'{"urls": ["opc.tcp://127.0.0.1:4840"], "exact": true, "nodes": {"ns=1;s=a": 99999999999999999999999}}',
        b'{"urls": ["opc.tcp://elsewhere:4840"], "exact": true, "nodes": {"ns=1;s=a": 5}}',
    ],
)
def test_a_file_that_makes_no_sense_is_no_gap(tmp_path, content, caplog):
    run = Run(tmp_path)
    run.path.write_bytes(content)
    assert run.gap() is None
    assert "history begins anew" in caplog.text


async def test_what_cannot_be_written_is_told_once(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    run = Run(tmp_path / "file")
    for k in range(2):
        run.deliver(DAY_NS + k)
        await run.kept.end(at_last=True)
    assert caplog.text.count("cannot be kept") == 1
    assert run.gap() is not None, "of what was heard in this run"


async def test_an_older_content_never_replaces_a_newer_one(tmp_path):
    run = Run(tmp_path)
    run.kept._replace(b"new", 2)
    run.kept._replace(b"old", 1)
    assert run.path.read_bytes() == b"new"
