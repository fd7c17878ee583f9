"""What the gateway sends in any layout and format, `gateway tail` understands, and proves complete or not."""

import contextlib
import io
import time
from collections.abc import Sequence
from functools import cache

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from gateway.audit.traffic_stats import Absence, TrafficStats
from gateway.cli.rate_display import RateFooter, RateTable, footer
from gateway.cli.subscriber import MessagePrinter, auditor_of
from gateway.cli.terminal import Screen
from gateway.core.messages import Loss, Message
from gateway.core.ports.layout import Packet
from gateway.encoding.decoder import parse
from gateway.encoding.formats import FORMATS
from gateway.layouts.sparkplug.wire import DataType, new_payload, set_property
from gateway.settings.publish_model import DevicePublish, Publish
from gateway.sinks.mqtt.types import ReceivedMessage
from tests.support.blocks import T0
from tests.support.events import limit_alarm
from tests.support.layout import layout_for
from tests.unit.cli.test_tail_render import json
from tests.unit.encoding.test_encoder import BOOT, block_of, encoder_for
from tests.unit.layouts.sparkplug.test_layout import DOWN, TABLE, TOPICS
from tests.unit.layouts.sparkplug.test_layout import Bench as Node

OWN = [DevicePublish()] * 2
NUMBERED = [form for form in FORMATS if form != "plain"]  # a bare value has no number, so nothing of it can be proved
LAYOUTS = [(layout, form, most) for layout in ("device", "tag") for form in NUMBERED for most in (120, 2**28)]


class Tail:
    def __init__(self) -> None:
        self.out = io.StringIO()
        self.console = Console(file=self.out, width=200)
        self.reading = MessagePrinter(Screen(self.console), auditor_of("plant"))

    def take(self, packets: Sequence[Packet], *, dup: bool = False) -> None:
        for packet in packets:
            self.reading.add(ReceivedMessage(packet.topic, packet.payload, int(packet.is_confirmed), packet.is_latest, dup))

    def verdict(self) -> tuple[bool, str]:
        report = self.reading.finish(self.console)
        return bool(report.rows) and report.complete, " ".join(self.out.getvalue().split())


def messages(count: int = 4) -> list[Message]:
    """Windows, summaries and events."""
    encoder, made = encoder_for(TABLE), []
    for _ in range(count):
        made += encoder.windows(block_of([0, 1, 2, 3], last=[61.5, 0.5, 1.0, 7.0]))
        made += encoder.summaries(block_of([0, 1, 2, 3]))
        made.append(encoder.event(limit_alarm(limit=2.0)))
    return made


def sent(made: Sequence[Message], layout: str, form: str, most: int, *, hist: bool = False) -> list[list[Packet]]:
    chosen = layout_for(Publish.model_validate({"layout": layout, "format": form}), OWN, TOPICS)
    return [list(chosen.packets(message, hist=hist, most_bytes=most)) for message in made]


@pytest.mark.parametrize(("layout", "form", "most"), LAYOUTS)
def test_all_that_was_sent_is_complete(layout, form, most):
    tail, made = Tail(), messages()
    for packets in sent(made, layout, form, most):
        tail.take(packets)
    complete, text = tail.verdict()
    assert complete, text
    assert f"Complete: {len(made)} messages on 5 topics" in text
    assert "plant/v1/press-1/press/window" in text
    assert "malformed" not in text
    assert "temp 61.5" in text


@pytest.mark.parametrize(("layout", "form", "most"), [one for one in LAYOUTS if one[0] == "tag" or one[2] < 2**28])
def test_one_packet_that_is_missing_is_one_message_that_is_missing(layout, form, most):
    tail, made = Tail(), messages()
    for number, packets in enumerate(sent(made, layout, form, most)):
        assert len(packets) > 1 or "event" in made[number].topic or "line" in made[number].topic
        tail.take(packets[:-1] if number == 5 else packets)
    complete, text = tail.verdict()
    assert not complete
    assert "1 sequence number missing" in text


@pytest.mark.parametrize("again", [120, 450])
def test_a_message_that_broke_off_and_came_again_is_there_once(again):
    """The second time it is backlog, and may be cut into other parts."""
    tail, made = Tail(), messages()
    first, last = sent(made, "device", "json", 120), sent(made, "device", "json", again, hist=True)
    for number, packets in enumerate(first):
        tail.take(packets[:1] if number == 5 else packets)
    tail.take(last[5])
    complete, text = tail.verdict()
    assert complete, text
    tail.take(last[5])
    assert tail.verdict()[0], "twice, and marked"


def test_a_whole_message_in_parts_twice_without_a_mark_is_noticed():
    tail, made = Tail(), messages()
    packets = sent(made, "device", "json", 120)
    for one in (*packets, packets[5]):
        tail.take(one)
    complete, text = tail.verdict()
    assert not complete
    assert "1 duplicate without a reason" in text


def test_the_last_message_may_be_half_there():
    """Who ends `tail` ends it somewhere."""
    tail, made = Tail(), messages()
    packets = sent(made, "tag", "json", 2**28)
    for one in packets:
        tail.take(one)
    tail.take(sent(encoder_more(made), "tag", "json", 2**28)[0][:1])
    assert tail.verdict()[0]


def encoder_more(made: Sequence[Message]) -> list[Message]:
    last = [m for m in made if m.topic.endswith("press/window")][-1]
    body = orjson.loads(last.payload) | {"seq": last.seq + 1}
    return [Message(last.topic, last.boot, last.seq + 1, last.lane, 0, 0, orjson.dumps(body))]


@pytest.mark.parametrize("count", [100])
def test_incomplete_messages_cost_bounded_memory(count: int):
    """A filter that lets only one of a device's tags through."""
    tail = Tail()
    encoder = encoder_for(TABLE)
    for _ in range(count):
        (message,) = encoder.windows(block_of([0, 1]))
        tail.take(sent([message], "tag", "json", 2**28)[0][:1])
    ((tracker,),) = [list(tail.reading._auditor._ledger._trackers.values())]
    assert len(tracker.parts) == min(count, 1000)
    assert "Nothing to prove" in tail.verdict()[1]


def test_a_tag_s_message_looks_like_its_device_s():
    (packets,) = sent(messages(1)[:1], "tag", "cbor", 2**28)
    message = parse(packets[0].topic, packets[0].payload)
    assert (message.topic, message.device, message.kind) == ("plant/v1/press-1/press/window", "press", "window")
    row = orjson.loads(messages(1)[0].payload)["tags"]["temp"]
    assert message.body["tags"] == {"temp": row}


def test_losses_are_totalled_by_cause_once_each():
    tail, encoder = Tail(), encoder_for(TABLE)
    losses = [("max_bytes", 3), ("max_bytes", 4), ("thinned", 60)]
    for number, (cause, count) in enumerate(losses):
        first = 1 + 100 * number
        loss = Loss("plant/v1/press-1/press/window", BOOT, first, first + count - 1, count, 0, 1, cause)
        packets = sent([encoder.event(encoder.loss_event(loss, T0))], "device", "json", 2**28)[0]
        tail.take(packets)
        tail.take(packets, dup=True)
    text = tail.verdict()[1]
    assert "Loss records speak of 67 messages: 7 max_bytes, 60 thinned" in text
    assert "merged into" not in text


def test_what_had_been_merged_into_lost_messages_is_told():
    tail, encoder = Tail(), encoder_for(TABLE)
    topic = "plant/v1/press-1/press/window"
    losses = [
        Loss(topic, BOOT, 1, 119, 118, 0, 1, "thinned"),
        Loss(topic, BOOT, 60, 60, 1, 0, 1, "max_bytes", "", 60, 1),
        Loss(topic, BOOT, 120, 120, 1, 0, 1, "max_bytes", "", 60, 61),
    ]
    for loss in losses:
        tail.take(sent([encoder.event(encoder.loss_event(loss, T0))], "device", "json", 2**28)[0])
    text = tail.verdict()[1]
    assert "Loss records speak of 120 messages: 2 max_bytes, 118 thinned" in text
    assert "Of those thinned, 118 had been merged into messages that were lost afterwards" in text
    assert "Complete" in text


# -- Sparkplug ---------------------------------------------------------------------------------------------------------


def node_sends(node: Node, windows: int) -> list[Packet]:
    packets = list(node.node.births(2**28))
    for _ in range(windows):
        packets += node.node.packets(node.window([0, 1, 2], last=[61.5, 0.5, 1.0]), hist=False, most_bytes=2**28)
    packets += node.node.packets(
        node.encoder.event(limit_alarm(limit=2.0)),
        hist=False,
        most_bytes=2**28,
    )
    return [node.node.numbered(packet) for packet in packets]


@pytest.mark.parametrize("windows", [3])
def test_a_sparkplug_session_is_complete(windows):
    """Past 255 and over a second birth."""
    tail, node = Tail(), Node()
    node.node.will()
    tail.take(node_sends(node, windows))
    tail.take(node_sends(node, windows))
    complete, text = tail.verdict()
    assert complete, text
    for said in ("BIRTH 3 metrics", "temp 61.5 speed 0.5", "ALARM temp", "bdSeq 250, birth 1", "bdSeq 250, birth 2"):
        assert said in text


def test_a_gap_in_sparkplug_s_numbers_is_found():
    tail, node = Tail(), Node()
    node.node.will()
    packets = node_sends(node, 300)
    tail.take([*packets[:270], *packets[273:]])
    complete, text = tail.verdict()
    assert not complete
    assert "3 sequence numbers missing" in text


def test_order_and_repetition_are_told_from_a_gap():
    """Brokers may change the order between topics; MQTT repeats with a mark."""
    tail, node = Tail(), Node()
    node.node.will()
    packets = node_sends(node, 20)
    tail.take([*packets[:8], packets[9], packets[8], *packets[10:]])
    tail.take([packets[12]], dup=True)
    assert tail.verdict()[0]
    tail.take([packets[14]])
    assert "1 duplicate without a reason" in tail.verdict()[1]


def test_joining_later_shows_aliases_until_the_next_birth():
    tail, node = Tail(), Node()
    node.node.will()
    packets = node_sends(node, 5)
    tail.take(packets[4:])
    complete, text = tail.verdict()
    assert complete
    assert "joined" in text
    assert "alias 3 61.5" in text


def test_deaths_and_hosts_are_no_faults():
    tail, node = Tail(), Node()
    node.node.will()
    tail.take(node_sends(node, 1))
    node.set(0, DOWN)
    tail.take([node.node.numbered(p) for p in (*node.node.changes(2**28), *node.node.death())])
    tail.take([Packet("spBv1.0/STATE/scada", b'{"online":true}'), Packet("spBv1.0/plant/NCMD/press-1", b"\x08\x01")])
    complete, text = tail.verdict()
    assert complete, text
    assert "press DEATH" in text


@pytest.mark.parametrize(
    "topic", ["spBv1.0/a", "spBv1.0/a/DDATA/b", "spBv1.0/a/NDATA/b/c", "spBv1.0/a/XDATA/b", "spBv1.0/a/NX/b"]
)
def test_foreign_topics_and_payloads_are_malformed(topic):
    tail = Tail()
    tail.take([Packet(topic, b""), Packet("spBv1.0/a/NDATA/b", b"\xff"), Packet("spBv1.0/a/NDATA/b", b"")])
    assert "3 malformed" in tail.verdict()[1]


def test_what_a_node_sends_late_after_another_birth_is_backlog():
    """Its sessions are connections: the second one begins with what the first could not send."""
    tail, node = Tail(), Node()
    node.node.will()
    tail.take(node_sends(node, 1))
    now_ns = time.time_ns()
    for hist in (False, True):
        births = list(node.node.births(2**28))
        late = node.node.packets(node.window([0], start=now_ns), hist=hist, most_bytes=2**28)
        tail.take([node.node.numbered(packet) for packet in (*births, *late)])
    assert "backlog" in tail.out.getvalue()
    assert "before connecting" not in tail.out.getvalue()


def absent(tail: Tail, *, kept: bool) -> None:
    tail.reading.was_away(Absence(0, 1, kept))


@cache
def four_hundred_windows():
    """The packets of one node, made once for all who leave some of them out."""
    node = Node()
    node.node.will()
    return node_sends(node, 400)


@pytest.mark.parametrize(("missed", "counted"), [(255, 255), (300, 44)])
def test_sparkplug_s_numbers_prove_an_absence_modulo_256(missed, counted):
    """A gap of more than half of them is not taken for something late or twice."""
    tail, packets = Tail(), four_hundred_windows()
    tail.take(packets[:20])
    absent(tail, kept=True)
    tail.take(packets[18:20], dup=True)
    tail.take(packets[20 + missed :])
    complete, text = tail.verdict()
    assert complete is (counted == 0)
    assert "Complete except while tail itself was disconnected" in text, "brokers keep nothing of QoS 0, session or not"
    assert f"{counted} sequence number{'' if counted == 1 else 's'} unproven" in text
    assert "Sparkplug's own numbers go from 0 to 255: what is missing there is counted modulo 256." in text


def test_aliases_mean_nothing_after_an_absence_without_a_session():
    """There may have been another birth."""
    tail, node = Tail(), Node()
    node.node.will()
    packets = node_sends(node, 4)
    tail.take(packets[:-2])
    absent(tail, kept=False)
    tail.out.truncate(0)
    tail.take(packets[-2:-1])
    assert "alias 3 61.5" in tail.out.getvalue()


# -- rates -------------------------------------------------------------------------------------------------------------


def test_the_footer_says_how_much_comes():
    tally, now = TrafficStats(), [100.0]
    line = RateFooter(tally, lambda: now[0])
    for packets in sent(messages(5), "device", "json", 2**28):
        for packet in packets:
            tally.count(parse(packet.topic, packet.payload, "plant"))
    now[0] = 102.0
    assert "12.5 messages/s  20 values/s  25 messages" in line.__rich__().plain
    for second in range(103, 120):
        now[0] = float(second)
        text = line.__rich__().plain
    assert "0.0 messages/s" in text


def test_the_footer_says_how_many_were_lost_and_how_many_merged():
    tally = TrafficStats()
    for seq, (cause, count) in enumerate((("max_age", 40), ("thinned", 60), ("refused", 2)), 1):
        loss = {
            "kind": "loss",
            "topic": "t",
            "of_boot": "b",
            "first_seq": 1,
            "last_seq": count,
            "count": count,
            "cause": cause,
        }
        body = {"boot": "b", "seq": seq, "ts": 1, "hist": False, "severity": 1} | loss
        tally.count(parse("plant/v1/gw/event", orjson.dumps(body), "plant"))
    assert RateFooter(tally).__rich__().plain.endswith("3 messages  42 declared lost  60 merged")


def test_there_is_no_footer_without_a_terminal():
    out = io.StringIO()
    with footer(Console(file=out), TrafficStats()):
        pass
    assert out.getvalue() == ""
    terminal = io.StringIO()
    with footer(Console(file=terminal, force_terminal=True, width=80), TrafficStats()):
        pass
    assert "messages/s" in terminal.getvalue()


def test_the_board_shows_each_topic_and_the_busiest_where_there_is_no_room():
    tally, now = TrafficStats(), [100.0]
    out = Console(file=io.StringIO(), width=80, height=7)
    board = RateTable(out, tally, lambda: now[0])
    for packets in sent(messages(5), "device", "json", 2**28):
        for packet in packets:
            tally.count(parse(packet.topic, packet.payload, "plant"), len(packet.payload))
    now[0] = 105.0
    lines = "".join(text.plain + "\n" for text in board.__rich__().renderables).splitlines()
    assert lines[0].split() == ["topic", "messages/s", "values/s", "bytes/s", "messages"]
    assert [(*line.split()[:3], line.split()[-1]) for line in lines[1:3]] == [
        ("plant/v1/press-1/line/window", "1.0", "1", "5"),
        ("plant/v1/press-1/press/summary", "1.0", "3", "5"),
    ]
    assert lines[-2] == "... and 2 that are less busy"
    assert "5.0 messages/s" in lines[-1]
    assert len(lines) <= 7
    assert max(map(len, lines)) <= 80


def test_a_value_that_is_carried_over_is_dim():
    out = io.StringIO()
    screen = Screen(Console(file=out, width=120, force_terminal=True, color_system="standard"))
    encoder = encoder_for(TABLE)
    for count in (10, 0):
        columns = {} if count else dict.fromkeys(("min", "max", "mean", "std", "first"), np.nan)
        (message,) = encoder.windows(block_of([0], count=count, good=count, used=count, **columns))
        screen.show(parse(message.topic, message.payload, "plant"))
    fresh, held = out.getvalue().splitlines()
    assert "\x1b[32m1.5" in fresh
    assert "\x1b[2;32m1.5" in held


# -- whatever comes ----------------------------------------------------------------------------------------------------


@given(
    st.sampled_from(["NBIRTH/n", "NDATA/n", "NDEATH/n", "DBIRTH/n/d", "DDATA/n/d", "DDEATH/n/d", "NCMD/n", "x", ""]),
    st.lists(st.tuples(st.integers(0, 2**64 - 1), st.text(max_size=4), st.integers(0, 40), st.floats()), max_size=3),
    st.integers(0, 2**64 - 1),
    st.binary(max_size=20),
)
def test_no_node_ends_tail(place, metrics, seq, tail_bytes):
    """Any metrics, any number, any bytes behind them."""
    payload = new_payload(timestamp=2**64 - 1, seq=seq)
    for alias, name, kind, value in metrics:
        metric = payload.metrics.add(name=name, alias=alias, timestamp=alias, datatype=kind, double_value=value)
        set_property(metric, "Quality", DataType.DOUBLE, value)
    tail = Tail()
    for packet in (payload.SerializeToString(), payload.SerializeToString() + tail_bytes, tail_bytes):
        tail.take([Packet(f"spBv1.0/g/{place}", packet)])
    tail.verdict()
    assert not [c for c in tail.out.getvalue().replace("\n", "") if not c.isprintable()]


@given(
    st.dictionaries(st.sampled_from(["stream", "part", "tag", "value", "n", "boot", "seq", "ts", "dur", "kind", "q"]), json)
)
def test_no_payload_of_a_tag_ends_tail(body):
    tail = Tail()
    head = {"boot": "b", "seq": 1, "ts": 1, "dur": 1, "stream": "plant/v1/gw/d/window", "tag": "t"}
    for document in (body, head | body, head | body | {"stream": "plant/v1/gw/d/value"}):
        with contextlib.suppress(orjson.JSONEncodeError):
            tail.take([Packet("any/topic", orjson.dumps(document))])
    tail.verdict()
