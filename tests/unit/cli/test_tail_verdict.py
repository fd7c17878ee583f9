"""The proof in the end: complete, or what is missing and why."""

import io
import itertools
from datetime import datetime

import orjson
import pytest
from rich.console import Console

from gateway.audit.traffic_stats import Absence
from gateway.cli.subscriber import MessagePrinter, auditor_of
from gateway.cli.terminal import Screen
from gateway.sinks.mqtt.types import ReceivedMessage

WINDOWS, EVENTS = "plant/v1/gw/press/window", "plant/v1/gw/press/event"


class Bench:
    """A reading that prints into `out`."""

    def __init__(self, *, as_json: bool = False, **options: bool) -> None:
        self.out = io.StringIO()
        self.console = Console(file=self.out, width=80)
        self.reading = MessagePrinter(Screen(self.console), auditor_of("plant", **options), as_json=as_json)
        self.time_ms = itertools.count(1_700_000_000_000, 1000)

    def window(self, seq: int, *, hist: bool = False, dup: bool = False, tags: int = 0) -> None:
        body = {"boot": "boot1", "seq": seq, "ts": next(self.time_ms), "dur": 1000, "hist": hist}
        body["tags"] = {f"tag{number}": {"last": number, "q": "good"} for number in range(tags)}
        self.reading.add(ReceivedMessage(WINDOWS, orjson.dumps(body), 1, False, dup))

    def loss(self, first: int, last: int, cause: str = "max_age") -> None:
        loss = {"kind": "loss", "cause": cause, "topic": WINDOWS, "of_boot": "boot1", "first_seq": first, "last_seq": last}
        body = {"boot": "boot1", "seq": 1, "ts": next(self.time_ms), "count": last - first + 1} | loss
        self.reading.add(ReceivedMessage(EVENTS, orjson.dumps(body), 1, False, False))

    def finish(self) -> tuple[bool, str]:
        self.out.truncate(0)
        report = self.reading.finish(self.console)
        return report.complete, " ".join(self.out.getvalue().split())


def test_all_there_is_complete():
    bench = Bench()
    for seq in (5, 6, 7):
        bench.window(seq)
    complete, text = bench.finish()
    assert complete
    assert "boot1 5 7 3 0 0 0" in text
    assert "Complete: 3 messages on 1 topic, no gap, no unexplained duplicate." in text


def test_a_gap_is_counted():
    bench = Bench()
    for seq in (1, 2, 5):
        bench.window(seq)
    complete, text = bench.finish()
    assert not complete
    assert "NOT complete: 2 sequence numbers missing without a loss record." in text


def test_a_gap_with_a_loss_record_is_explained():
    bench = Bench()
    bench.window(1)
    bench.window(4)
    bench.loss(2, 3)
    complete, text = bench.finish()
    assert complete
    assert "no gap but for 2 declared lost" in text


@pytest.mark.parametrize(("mark", "expected"), [({}, False), ({"hist": True}, True), ({"dup": True}, True)])
def test_a_duplicate_needs_a_reason(mark, expected):
    bench = Bench()
    bench.window(1)
    bench.window(1, **mark)
    complete, text = bench.finish()
    assert complete is expected
    assert expected or "1 duplicate without a reason" in text


def test_from_the_start_means_from_one():
    bench = Bench(from_start=True)
    bench.window(2)
    assert not bench.finish()[0]


def absence(*, kept: bool) -> Absence:
    begin_s = datetime(2026, 11, 21, 12, 1, 3).timestamp()
    return Absence(begin_s, begin_s + 6, kept)


@pytest.mark.parametrize("kept", [True, False])
def test_a_gap_of_the_subscriber_s_own_making_is_unproven_and_nothing_worse(kept):
    bench = Bench()
    bench.window(1)
    bench.reading.was_away(absence(kept=kept))
    bench.window(5)
    complete, text = bench.finish()
    assert not complete
    assert "NOT complete" not in text
    assert text.endswith(
        "Complete except while tail itself was disconnected: 3 sequence numbers unproven. Apart from that: 2 messages on 1 "
        "topic, no gap, no unexplained duplicate. Tail was disconnected 12:01:03-12:01:09."
    )


def test_a_gap_before_the_absence_stays_a_gap():
    bench = Bench()
    for seq in (1, 3):
        bench.window(seq)
    bench.reading.was_away(absence(kept=True))
    bench.window(5)
    complete, text = bench.finish()
    assert not complete
    assert "NOT complete: 1 sequence number missing without a loss record." in text
    assert "Tail was disconnected 12:01:03-12:01:09: 1 sequence number unproven, not necessarily lost." in text


def test_an_absence_that_the_broker_bridged_is_proved_by_the_numbers():
    bench = Bench()
    bench.window(1)
    bench.reading.was_away(absence(kept=True))
    for seq in (2, 3):
        bench.window(seq)
    _, text = bench.finish()
    assert bench.reading.is_proven(bench.reading.finish(bench.console))
    assert text.endswith(
        "Complete: 3 messages on 1 topic, no gap, no unexplained duplicate. "
        "Tail was disconnected 12:01:03-12:01:09; the broker kept what came meanwhile."
    )


def test_what_a_queue_could_not_hold_lies_behind_what_it_held():
    """Brokers drop the newest of a full queue; some seconds later a gap is a gap again."""
    bench = Bench()
    now = [0.0]
    bench.reading.stats.now = lambda: now[0]
    bench.window(1)
    bench.reading.was_away(absence(kept=True))
    for seq in (2, 3, 30, 31):
        bench.window(seq)
    now[0] = 10.0
    bench.window(32)
    bench.window(34)
    complete, text = bench.finish()
    assert not complete
    assert "NOT complete: 1 sequence number missing without a loss record." in text
    assert "26 sequence numbers unproven" in text


def test_an_absence_without_a_session_is_never_complete():
    """Even without a gap: a topic may have spoken then for the only time, and this one may have gone on."""
    bench = Bench()
    bench.window(1)
    bench.reading.was_away(absence(kept=False))
    complete, text = bench.finish()
    assert complete
    assert not bench.reading.is_proven(bench.reading.finish(bench.console))
    assert "0 sequence numbers unproven, and how 1 row went on, of which nothing has come since." in text


def test_merged_messages_are_not_called_lost():
    bench = Bench()
    bench.window(1)
    bench.window(62)
    bench.loss(2, 61, cause="thinned")
    complete, text = bench.finish()
    assert complete
    assert "no gap but for 60 that came merged into longer windows, no unexplained duplicate" in text


def test_rates_stand_beside_the_topic_and_nothing_is_wider_than_80():
    bench = Bench()
    now = [10.0]
    bench.reading.stats.now = lambda: now[0]
    for seq in (1, 2, 3):
        bench.window(seq, tags=20)
        now[0] += 2
    size_bytes = bench.reading.stats.flows[WINDOWS].size_bytes
    bench.out.truncate(0)
    bench.out.seek(0)
    bench.reading.finish(bench.console)
    lines = bench.out.getvalue().splitlines()
    assert f"{WINDOWS}  0.5 messages/s, 10 values/s, {size_bytes / 6:.0f} B/s" in lines
    assert max(map(len, lines)) <= 80


def test_malformed_messages_are_counted_and_prove_nothing():
    bench = Bench()
    bench.reading.add(ReceivedMessage("x/y", b"\x1b[2J", 1, False, False))
    assert "MALFORMED x/y: foreign topic" in bench.out.getvalue()
    _, text = bench.finish()
    assert "Received: 1 malformed" in text
    assert "Nothing to prove" in text


def test_a_retained_copy_is_no_duplicate():
    bench = Bench()
    bench.window(1)
    body = {"boot": "boot1", "seq": 1, "ts": 1, "dur": 1000, "tags": {}}
    bench.reading.add(ReceivedMessage(WINDOWS, orjson.dumps(body), 1, True, False))
    assert bench.finish()[0]


def test_json_prints_one_object_per_message(capfdbinary):
    bench = Bench(as_json=True)
    bench.window(1)
    bench.reading.add(ReceivedMessage("x/y", b"\xff", 1, False, False))
    good, bad = [orjson.loads(line) for line in capfdbinary.readouterr().out.splitlines()]
    assert (good["topic"], good["payload"]["seq"]) == (WINDOWS, 1)
    assert (bad["malformed"], bad["raw"]) == ("foreign topic", "\\xff")


def test_where_others_publish_their_messages_are_counted_and_not_shown():
    bench = Bench(is_shared=True)
    bench.reading.add(ReceivedMessage("acme/berlin/x", b"\xff", 1, False, False))
    bench.reading.add(ReceivedMessage("plant/v1/gw/press/window", b"\xff", 1, False, False))
    assert "acme" not in bench.out.getvalue()
    assert "MALFORMED plant/v1/gw/press/window" in bench.out.getvalue()
    assert "Received: 1 malformed, 1 message of others" in bench.finish()[1]
