"""Answers for the past, from a real historian in memory."""

import json
from typing import Any

import numpy as np
import pytest

from gateway.core.blocks import SampleBlock
from gateway.core.quality import Quality
from gateway.core.tags import Tag, TagTable
from gateway.encoding.topics import Topics
from gateway.live.history.config import HistoryConfig
from gateway.live.history.historian import Historian
from gateway.requests import answers as module
from gateway.requests.answers import PastAnswers
from tests.support.clock import ManualClock
from tests.support.schemas import fault_of

SECOND_NS = 1_000_000_000
BOOT = "0" * 15
TOPIC = "plant/v1/gw/raw/answer"


class Bench:
    """A gateway's past: `tags` tags of one device, read once a second for `seconds`."""

    def __init__(self, tags: int = 3, seconds: int = 100) -> None:
        self.clock = ManualClock()
        rows = tuple(Tag(n, 0, f"t{n}", "bar", n == 0, SECOND_NS) for n in range(tags))
        self.table = TagTable(("press",), rows)
        self.history = Historian(HistoryConfig(), self.table, self.clock, lambda _: None)
        self.begin_ns = self.clock.now_ns() - seconds * SECOND_NS
        ids = np.arange(tags, dtype=np.uint32)
        for second in range(seconds):
            times = np.full(tags, self.begin_ns + second * SECOND_NS, np.int64)
            codes = np.full(tags, Quality.GOOD, np.uint8)
            values = np.full(tags, 0.1 * second)
            if second == 7:
                codes[1], values[1] = Quality.BAD_TIMEOUT, np.nan
            self.history.samples(SampleBlock(ids, times, values, codes))
        topics = Topics.of("plant", "gw", self.table.devices)
        self.past = PastAnswers(topics, BOOT, lambda: self.table, self.history, self.clock.now_ns)

    async def ask(self, most_bytes: int = 100_000, **fields: Any) -> list[dict[str, Any]]:
        """The parts of an answer, each seen to the schema."""
        found = [json.loads(part) async for part in self.past.answer(json.dumps(fields).encode(), most_bytes)]
        for number, part in enumerate(found, 1):
            assert fault_of(TOPIC, part) == ""
            assert part["number"] == number
        assert [part.get("last", False) for part in found] == [False] * (len(found) - 1) + [True]
        return found


async def test_rows_with_quality_and_what_is_missing() -> None:
    bench = Bench()
    *parts, last = await bench.ask(tags=["press/t1", "press/nobody"], correlation="x", **{"from": "-200s"})
    (columns,) = (part["tags"]["press/t1"] for part in parts)
    assert len(columns["ts"]) == len(columns["value"]) == 100
    assert columns["value"][7] is None
    assert columns["q"][7] == "bad"
    assert columns["reason"][6:8] == ["", "timeout"]
    assert columns["unit"] == "bar"
    assert {part["correlation"] for part in (*parts, last)} == {"x"}
    assert last["all_rows"] == 100
    assert last["all_tags"] == 1
    assert last["unknown"] == ["press/nobody"]
    (missing,) = last["missing"]
    assert missing["reason"] == "not kept so far back"
    assert missing["to"] == bench.begin_ns // 10**6
    assert not last["complete"]


async def test_float32_has_its_own_digits() -> None:
    *parts, last = await Bench().ask(tags="press/t0", **{"from": "-100s"})
    assert parts[0]["tags"]["press/t0"]["value"][3] == 0.3
    assert last["complete"]


@pytest.mark.parametrize("most_bytes", [700, 5_000, 100_000])
async def test_parts_are_as_small_as_the_broker_wants_and_have_every_row_once(most_bytes: int) -> None:
    bench = Bench(tags=7, seconds=1_500)
    *parts, last = await bench.ask(most_bytes, tags="press/*", **{"from": "-1500s"})
    seen: dict[str, list[int]] = {}
    for part in parts:
        assert len(json.dumps(part, separators=(",", ":"))) <= most_bytes
        for name, columns in part["tags"].items():
            seen.setdefault(name, []).extend(columns["ts"])
    assert {name: len(times) for name, times in seen.items()} == {f"press/t{n}": 1_500 for n in range(7)}
    assert all(times == sorted(set(times)) for times in seen.values())
    assert last["all_rows"] == 7 * 1_500 == sum(part["rows"] for part in parts)
    assert last["number"] == len(parts) + 1
    assert last["complete"]


async def test_there_is_an_end_to_what_is_answered_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_ROWS", 1_000)
    *_, last = await Bench(tags=7, seconds=1_500).ask(tags="press/*", **{"from": "-1500s"})
    assert 1_000 <= last["all_rows"] < 7 * 1_500
    assert "rows are answered at once" in last["missing"][0]["reason"]


async def test_a_reload_during_the_answer_ends_it() -> None:
    bench = Bench(tags=7, seconds=1_500)
    question = json.dumps({"tags": "press/*", "from": "-1500s"}).encode()
    parts = []
    async for part in bench.past.answer(question, 100_000):
        parts.append(json.loads(part))
        bench.table = TagTable(("press",), bench.table.tags[:2])
    assert "ask again" in parts[-1]["missing"][0]["reason"]


async def test_a_gateway_without_history_says_so() -> None:
    bench = Bench()
    bench.past = PastAnswers(Topics.of("plant", "gw", ("press",)), BOOT, lambda: bench.table, None, bench.clock.now_ns)
    (last,) = await bench.ask(tags="press/*", **{"from": "-1h"})
    assert last["missing"][0]["reason"] == "this gateway keeps no values of the past"


async def test_a_bad_question_is_answered() -> None:
    (last,) = await Bench().ask(tags="press/*", correlation="x")
    assert last["error"] == "from is missing"
    assert last["correlation"] == "x"
    assert "2026" in last["expected"]
