"""The proof in the end: complete, or what is missing and why."""

import io
import itertools

import orjson
import pytest
from rich.console import Console

from gateway.cli.reading import Reading
from gateway.cli.render import Screen
from gateway.sinks.mqtt.client import Received

WINDOWS, EVENTS = "plant/v1/gw/press/window", "plant/v1/gw/press/event"


class Bench:
    """A reading that prints into `out`."""

    def __init__(self, **options: bool) -> None:
        self.out = io.StringIO()
        self.console = Console(file=self.out, width=80)
        self.reading = Reading(Screen(self.console), "plant", **options)
        self.time_ms = itertools.count(1_700_000_000_000, 1000)

    def window(self, seq: int, *, hist: bool = False, dup: bool = False) -> None:
        body = {"boot": "boot1", "seq": seq, "ts": next(self.time_ms), "dur": 1000, "hist": hist, "tags": {}}
        self.reading.take(Received(WINDOWS, orjson.dumps(body), 1, False, dup))

    def loss(self, first: int, last: int) -> None:
        loss = {"kind": "loss", "topic": WINDOWS, "of_boot": "boot1", "first_seq": first, "last_seq": last}
        body = {"boot": "boot1", "seq": 1, "ts": next(self.time_ms), "count": last - first + 1} | loss
        self.reading.take(Received(EVENTS, orjson.dumps(body), 1, False, False))

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
    assert "Complete: 3 messages on 1 topics, no gap, no unexplained duplicate." in text


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


def test_a_gap_of_the_subscriber_s_own_making_is_said():
    bench = Bench()
    bench.window(1)
    bench.reading.tally.disconnects, bench.reading.tally.away_s = 1, 3.2
    bench.window(5)
    complete, text = bench.finish()
    assert not complete
    assert "This subscriber itself was disconnected once (3.2 s in all)" in text


def test_malformed_messages_are_counted_and_prove_nothing():
    bench = Bench()
    bench.reading.take(Received("x/y", b"\x1b[2J", 1, False, False))
    assert "MALFORMED x/y: foreign topic" in bench.out.getvalue()
    _, text = bench.finish()
    assert "Received: 1 malformed" in text
    assert "Nothing to prove" in text


def test_a_retained_copy_is_no_duplicate():
    bench = Bench()
    bench.window(1)
    body = {"boot": "boot1", "seq": 1, "ts": 1, "dur": 1000, "tags": {}}
    bench.reading.take(Received(WINDOWS, orjson.dumps(body), 1, True, False))
    assert bench.finish()[0]


def test_json_prints_one_object_per_message(capfdbinary):
    bench = Bench(as_json=True)
    bench.window(1)
    bench.reading.take(Received("x/y", b"\xff", 1, False, False))
    good, bad = [orjson.loads(line) for line in capfdbinary.readouterr().out.splitlines()]
    assert (good["topic"], good["payload"]["seq"]) == (WINDOWS, 1)
    assert (bad["malformed"], bad["raw"]) == ("foreign topic", "\\xff")
