"""From stored messages to packets: format, parts, one layout per device."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.blocks import ObjectBlock
from gateway.core.events.device import DeviceStateChanged
from gateway.core.events.gateway import Stall
from gateway.core.messages import Lane, Message
from gateway.encoding.columns import rows_of
from gateway.encoding.formats import FORMATS, read_document
from gateway.encoding.topics import Topics
from gateway.layouts.device.layout import DeviceLayout
from gateway.settings.publish_model import DevicePublish, Publish
from tests.support.blocks import GOOD, T0, table
from tests.support.layout import layout_for
from tests.unit.encoding.test_encoder import BOOT, block_of, encoder_for

ALL = 2**28


def window_of(tags: int) -> Message:
    numbers = np.random.default_rng(1).normal(50, 3, (3, tags))
    columns = dict(zip(("min", "mean", "last"), numbers, strict=True))
    (message,) = encoder_for(table(tags)).windows(block_of(list(range(tags)), **columns))
    return message


def test_a_message_goes_as_it_is_stored():
    """Topic, payload, content type, and what identifies it as user properties."""
    message = window_of(3)
    (packet,) = DeviceLayout().packets(message, hist=False, most_bytes=ALL)
    assert (packet.topic, packet.payload, packet.is_latest) == (message.topic, message.payload, False)
    assert packet.properties.content_type == "application/json"
    assert packet.properties.user == (("boot", BOOT), ("seq", "1"))


@pytest.mark.parametrize("form", FORMATS)
def test_backlog_is_marked_in_every_format(form):
    message = window_of(3)
    (packet,) = DeviceLayout(form).packets(message, hist=True, most_bytes=ALL)
    assert rows_of(read_document(packet.payload)) == json.loads(message.payload) | {"hist": True}
    assert packet.properties.content_type == FORMATS[form].content_type


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("most_bytes", [400, 1000, 2000])
def test_a_large_message_goes_in_parts_that_the_broker_takes(form, most_bytes):
    """Same boot, seq and ts in each; together every tag once; numbered 1..n of n; none too large."""
    message = window_of(80)
    whole = json.loads(message.payload)
    packets = DeviceLayout(form).packets(message, hist=False, most_bytes=most_bytes)
    bodies = [rows_of(read_document(packet.payload)) for packet in packets]
    assert max(len(packet.payload) for packet in packets) <= most_bytes
    assert [body["part"] for body in bodies] == [[k, len(packets)] for k in range(1, len(packets) + 1)]
    assert {tag: row for body in bodies for tag, row in body["tags"].items()} == whole["tags"]
    assert sum(len(body["tags"]) for body in bodies) == 80
    for body, packet in zip(bodies, packets, strict=True):
        assert {k: v for k, v in body.items() if k not in ("tags", "part")} == {
            k: v for k, v in whole.items() if k != "tags"
        }
        assert dict(packet.properties.user)["part"] == "{}/{}".format(*body["part"])


def test_no_part_is_too_large_whatever_the_broker_takes():
    """The numbers in `part` count as well: there may be more than nine."""
    message = window_of(60)
    for most_bytes in range(400, 700):
        packets = DeviceLayout().packets(message, hist=False, most_bytes=most_bytes)
        assert max(len(packet.payload) for packet in packets) <= most_bytes


def test_parts_are_few():
    """Not more than twice what the size alone would ask for."""
    message = window_of(200)
    packets = DeviceLayout().packets(message, hist=False, most_bytes=5000)
    assert len(packets) <= 2 * (len(message.payload) // 5000 + 1)


def test_what_fits_has_no_part():
    message = window_of(80)
    (packet,) = DeviceLayout().packets(message, hist=False, most_bytes=len(message.payload))
    assert packet.payload == message.payload


def test_what_cannot_be_made_smaller_stays_as_it_is():
    """An event, and one huge text among small ones: the sink refuses them, the others still go."""
    encoder = encoder_for(table(3))
    event = encoder.event(DeviceStateChanged(time_ns=T0, device=0, state="down", reason="x" * 500))
    (packet,) = DeviceLayout().packets(event, hist=False, most_bytes=100)
    assert packet.payload == event.payload
    tags = np.arange(3, dtype=np.uint32)
    texts = ["a", "b" * 5000, "c"]
    (value,) = encoder.objects(ObjectBlock(tags, np.full(3, T0, np.int64), texts, np.full(3, GOOD, np.uint8)))
    packets = DeviceLayout().packets(value, hist=False, most_bytes=1000)
    told = {tag: len(packet.payload) for packet in packets for tag in read_document(packet.payload)["tags"]}
    assert {tag for tag, size in told.items() if size > 1000} == {"tag1"}
    assert set(told) == {"tag0", "tag1", "tag2"}


def test_exact_integers_survive_being_split():
    (value,) = encoder_for(table(2)).objects(
        ObjectBlock(
            np.arange(2, dtype=np.uint32), np.full(2, T0, np.int64), [2**64 - 1, "x" * 200], np.full(2, GOOD, np.uint8)
        )
    )
    packets = DeviceLayout().packets(value, hist=False, most_bytes=300)
    assert read_document(packets[0].payload)["tags"]["tag0"]["value"] == 2**64 - 1


def test_a_device_may_have_a_format_of_its_own():
    """The gateway's own messages, other devices and devices that are gone: the gateway's format."""
    devices = table(3, devices=3)
    topics = Topics.of("plant", "press-1", devices.devices)
    own = [DevicePublish(), DevicePublish(format="cbor"), DevicePublish(format="json")]
    layout = layout_for(Publish(format="json+zstd"), own, topics)
    encoder = encoder_for(devices)
    messages = [*encoder.windows(block_of([0, 1, 2])), encoder.event(Stall(time_ns=T0, for_ms=4000))]
    gone = Message("plant/v1/press-1/gone/window", "b", 1, messages[0].lane, 0, 0, messages[0].payload)
    forms = [layout.packets(m, hist=False, most_bytes=ALL)[0].properties.content_type for m in [*messages, gone]]
    short = [form.removeprefix("application/") for form in forms]
    assert short == ["json+zstd", "cbor", "json", "json+zstd", "json+zstd"]


@given(
    rows=st.dictionaries(st.text(min_size=1, max_size=20), st.text(max_size=300), min_size=1, max_size=12),
    most_bytes=st.integers(0, 3000),
    form=st.sampled_from(list(FORMATS)),
)
def test_however_it_is_cut_it_is_the_same_message(rows, most_bytes, form):
    """All tags once, in order; a part is too large only when it holds one tag."""
    body = {"boot": BOOT, "seq": 7, "ts": 5, "hist": False, "tags": {tag: {"value": text} for tag, text in rows.items()}}
    message = Message("plant/v1/press-1/device0/value", BOOT, 7, Lane.SUMMARY, 5, 5, json.dumps(body).encode())
    packets = DeviceLayout(form).packets(message, hist=False, most_bytes=most_bytes)
    told = [read_document(packet.payload) for packet in packets]
    assert [pair for one in told for pair in one["tags"].items()] == list(body["tags"].items())
    for one, packet in zip(told, packets, strict=True):
        assert len(packet.payload) <= most_bytes or len(one["tags"]) == 1
        assert one | {"tags": {}} == body | {"tags": {}} | ({"part": one["part"]} if len(packets) > 1 else {})
