"""The layout `tag`: one topic per tag, nothing lost on the way from the message."""

import json

import numpy as np
import pytest

from gateway.core.blocks import ObjectBlock
from gateway.core.events.device import DeviceStateChanged
from gateway.core.events.gateway import Stall
from gateway.core.messages import Message
from gateway.core.ports.layout import LatestStates, MessageObserver, Packet
from gateway.encoding.formats import FORMATS, read_document
from gateway.encoding.topics import Topics
from gateway.settings.publish_model import DevicePublish, Publish
from tests.support.blocks import GOOD, SECOND, T0, table
from tests.support.events import limit_alarm
from tests.support.layout import layout_for
from tests.support.schemas import check
from tests.unit.encoding.test_encoder import BOOT, MS, block_of, encoder_for

TABLE = table(4, devices=2)
TOPICS = Topics.of("plant", "press-1", TABLE.devices)
ENCODER_TOPIC = "plant/v1/press-1/device0/window"


def sent(message: Message, *, hist: bool = False, own: tuple[DevicePublish, ...] = (), **config: object) -> list[Packet]:
    """What a message becomes; every payload must keep the published schema."""
    general = Publish.model_validate({"layout": "tag", **config})
    devices = own or (DevicePublish(), DevicePublish())
    packets = list(layout_for(general, devices, TOPICS).packets(message, hist=hist, most_bytes=2**28))
    for packet in packets:
        check(packet.topic, read_document(packet.payload))
    return packets


def window(**columns: object) -> Message:
    (message,) = encoder_for(TABLE).windows(block_of([0, 1], **columns))
    return message


def test_each_tag_has_its_topic_with_value_and_statistics():
    packets = sent(window(last=[7.5, 8.5]))
    assert [p.topic for p in packets] == ["plant/press-1/device0/tag0", "plant/press-1/device0/tag1"]
    assert json.loads(packets[0].payload) == {
        "boot": BOOT, "seq": 1, "ts": MS, "dur": 1000, "hist": False, "stream": ENCODER_TOPIC, "part": [1, 2],
        "tag": "tag0", "value": 7.5, "n": 10, "good": 10, "min": 1.5, "max": 1.5, "mean": 1.5, "std": 1.5, "first": 1.5,
        "q": "good",
    }  # fmt: skip
    assert json.loads(packets[1].payload)["part"] == [2, 2]
    assert packets[0].properties.user == (("boot", BOOT), ("seq", "1"), ("part", "1/2"))


def test_topics_come_from_a_template_with_fields_of_the_user_s_own():
    """Values of the gateway, replaced or added to by the device; a field may be several levels."""
    own = (DevicePublish(topic_fields={"line": "l-7"}), DevicePublish())
    config = {
        "topic": "{enterprise}/{site}/line {line}/{device}_{tag}",
        "topic_fields": {"enterprise": "acme", "site": "b/h2"},
    }
    packets = sent(window(), own=own, **config)
    assert [p.topic for p in packets] == ["acme/b/h2/line l-7/device0_tag0", "acme/b/h2/line l-7/device0_tag1"]


def test_names_with_braces_stay_as_they_are():
    """What is filled in is not filled in again."""
    own = (DevicePublish(topic_fields={"line": "{tag}"}), DevicePublish())
    assert sent(window(), own=own, topic="{line}/{tag}")[0].topic == "{tag}/tag0"


@pytest.mark.parametrize("form", [name for name, form in FORMATS.items() if not form.plain])
def test_every_format_and_backlog(form):
    bodies = [read_document(p.payload) for p in sent(window(), hist=True, format=form)]
    assert [(body["hist"], body["seq"], body["part"]) for body in bodies] == [(True, 1, [1, 2]), (True, 1, [2, 2])]


def test_only_the_newest_is_retained():
    """Not backlog, not a supplement, not a summary, not an event: none of them is the tag's state now."""
    encoder = encoder_for(TABLE)
    (late,) = encoder.windows(block_of([0], late=True))
    (summary,) = encoder.summaries(block_of([0], length=60 * SECOND))
    event = encoder.event(limit_alarm())
    assert all(p.is_latest for p in sent(window(), retain=True))
    assert not any(p.is_latest for p in sent(window()))
    for message, hist in ((window(), True), (late, False), (summary, False), (event, False)):
        assert not any(p.is_latest for p in sent(message, hist=hist, retain=True))


ALARM = {"state": "active", "condition": "hi", "severity": 500, "value": 1.0, "limit": 0.5}


def test_summaries_and_events_of_a_tag_lie_below_it():
    encoder = encoder_for(TABLE)
    (summary,) = encoder.summaries(block_of([0], length=60 * SECOND))
    (first,) = sent(summary)
    (second,) = sent(encoder.event(limit_alarm()), hist=True)
    assert (first.topic, second.topic) == ("plant/press-1/device0/tag0/summary", "plant/press-1/device0/tag0/event")
    assert json.loads(second.payload) == {
        "boot": BOOT, "seq": 1, "ts": MS, "hist": True, "kind": "alarm", "tag": "tag0",
        "stream": "plant/v1/press-1/device0/event", **ALARM,
    }  # fmt: skip


def test_what_belongs_to_no_tag_goes_by_the_contract():
    encoder = encoder_for(TABLE)
    messages = [
        encoder.event(DeviceStateChanged(time_ns=T0, device=0, state="ok", reason="")),
        encoder.event(Stall(time_ns=T0, for_ms=4)),
        encoder.stats(0, {"requests": 1}, T0),
    ]
    assert [sent(message)[0].topic for message in messages] == [message.topic for message in messages]


def test_values_that_are_no_numbers_have_the_time_of_their_read():
    encoder = encoder_for(TABLE)
    times = np.array([T0, T0 + 5_000_000], np.int64)
    block = ObjectBlock(np.array([0, 1], np.uint32), times, ["A-17", 2**64 - 1], np.full(2, GOOD, np.uint8))
    (message,) = encoder.objects(block)
    bodies = [json.loads(p.payload) for p in sent(message)]
    assert [(b["value"], b["ts"], b["q"]) for b in bodies] == [("A-17", MS, "good"), (2**64 - 1, MS + 5, "good")]


def test_one_device_by_tag_and_the_other_as_usual():
    own = (DevicePublish(), DevicePublish(layout="tag", format="cbor"))
    encoder = encoder_for(TABLE)
    first, second = encoder.windows(block_of([0, 2]))
    assert [p.topic for m in (first, second) for p in sent(m, own=own, layout="device")] == [
        "plant/v1/press-1/device0/window",
        "plant/press-1/device1/tag2",
    ]


def test_together_the_packets_say_what_the_message_said():
    message = window(last=[7.5, 8.5], quality=[GOOD, 0x60])
    rows = {}
    for packet in sent(message):
        body = json.loads(packet.payload)
        row = {k: v for k, v in body.items() if k not in ("boot", "seq", "ts", "dur", "hist", "stream", "part", "tag")}
        rows[packet.topic.rpartition("/")[2]] = {"last": row.pop("value")} | row
    assert rows == json.loads(message.payload)["tags"]


def test_the_newest_value_of_each_tag_is_known_for_a_new_connection():
    """As history, in the very packet that backlog brings later; what was sent live since is left out."""
    general = Publish.model_validate({"layout": "tag", "retain": True})
    layout = layout_for(general, (DevicePublish(), DevicePublish()), TOPICS)
    encoder = encoder_for(TABLE)
    assert isinstance(layout, MessageObserver)
    assert isinstance(layout, LatestStates)
    for value in (7.5, 8.5):
        (made,) = encoder.windows(block_of([0, 1], last=[value, value + 1]))
        layout.observe(made)
    (only_one,) = encoder.windows(block_of([0], last=[9.5]))
    layout.observe(only_one)
    states = {p.topic: p for p in layout.latest_states()}
    assert {topic: json.loads(p.payload)["value"] for topic, p in states.items()} == {
        "plant/press-1/device0/tag0": 9.5,
        "plant/press-1/device0/tag1": 9.5,
    }
    assert all(p.is_latest and json.loads(p.payload)["hist"] for p in states.values())
    for packet in layout.packets(only_one, hist=True, most_bytes=2**28):
        assert json.loads(packet.payload) == json.loads(states[packet.topic].payload)
        assert not packet.is_latest
    rest = layout.latest_states()
    (live,) = encoder.windows(block_of([0], last=[1.5]))
    layout.observe(live)
    assert all(packet.is_latest for packet in layout.packets(live, hist=False, most_bytes=2**28))
    assert [p.topic for p in rest] == ["plant/press-1/device0/tag1"]


def test_without_retain_nothing_is_kept_for_a_new_connection():
    layout = layout_for(Publish.model_validate({"layout": "tag"}), (DevicePublish(), DevicePublish()), TOPICS)
    assert isinstance(layout, LatestStates)
    layout.observe(window())
    assert list(layout.latest_states()) == []
