"""A window that replaces another one, in every layout: it overwrites by its time, and is never the newest state."""

from dataclasses import replace
from typing import Any

import pytest

from gateway.audit.ledger import Ledger
from gateway.core.messages import Message
from gateway.encoding.decoder import parse
from gateway.encoding.formats import read_document
from gateway.encoding.topics import Topics
from gateway.layouts.device.layout import DeviceLayout
from gateway.layouts.platform.layout import PlatformLayout
from gateway.settings.publish_model import DevicePublish, Publish
from tests.support.blocks import table
from tests.support.layout import layout_for, scope_for
from tests.support.schemas import check
from tests.unit.encoding.test_encoder import MS, block_of, encoder_for
from tests.unit.layouts.sparkplug.test_layout import Bench

TABLE = table(4, devices=2)
TOPICS = Topics.of("plant", "press-1", TABLE.devices)
ALL = 2**28


def windows() -> tuple[Message, Message]:
    """A window and what replaces it."""
    encoder = encoder_for(TABLE)
    (first,) = encoder.windows(block_of([0, 1], last=[7.5, 8.5]))
    (again,) = encoder.windows(replace(block_of([0, 1], last=[9.5, 8.5]), late=True, replaces=True))
    return first, again


def stored(packets: Any) -> dict[tuple[str, int], dict[str, Any]]:
    """What a consumer has that overwrites by (topic, ts)."""
    documents = [(packet.topic, read_document(packet.payload)) for packet in packets]
    for topic, document in documents:
        check(topic, document)
    return {(topic, document["ts"]): document for topic, document in documents}


def test_device_overwrites_by_topic_and_time() -> None:
    """One message for the window, the later one; twice the same ends the same."""
    first, again = windows()
    packets = [p for m in (first, again, again) for p in DeviceLayout().packets(m, hist=False, most_bytes=ALL)]
    ((key, document),) = stored(packets).items()
    assert key == (first.topic, MS)
    assert (document["late"], document["replaces"], document["dur"]) == (True, True, 1000)
    assert {tag: row["last"] for tag, row in document["tags"].items()} == {"tag0": 9.5, "tag1": 8.5}


def test_tag_overwrites_each_tag_and_retains_nothing() -> None:
    """The broker keeps what is newest, which a window of before never is."""
    first, again = windows()
    layout = layout_for(Publish.model_validate({"layout": "tag", "retain": True}), (DevicePublish(),) * 2, TOPICS)
    for message in (first, again):
        layout.observe(message)
    packets = [p for m in (first, again) for p in layout.packets(m, hist=False, most_bytes=ALL)]
    assert [p.is_latest for p in packets] == [True, True, False, False]
    rows = stored(packets)
    assert {topic: row["value"] for (topic, _), row in rows.items()} == {
        "plant/press-1/device0/tag0": 9.5,
        "plant/press-1/device0/tag1": 8.5,
    }
    assert all(row["replaces"] for row in rows.values())


def test_sparkplug_sends_it_as_history_at_the_windows_time() -> None:
    """Hosts store by metric and time: the same metrics with the window's start, and no new present value."""
    bench = Bench()
    bench.connect()
    (first,) = bench.encoder.windows(block_of([0, 1], last=[7.5, 8.5]))
    (again,) = bench.encoder.windows(replace(block_of([0, 1], last=[9.5, 8.5]), late=True, replaces=True))
    for message in (first, again):
        bench.node.observe(message)
    ((_, _, one),) = bench.send(first)
    ((_, _, two),) = bench.send(again)
    assert [(m["timestamp"], m["value"], m.get("is_historical")) for m in one.values()] == [
        (MS, 7.5, None),
        (MS, 8.5, None),
    ]
    assert [(m["timestamp"], m["value"], m.get("is_historical")) for m in two.values()] == [
        (MS, 9.5, True),
        (MS, 8.5, True),
    ]
    births = {name: metrics for kind, name, metrics in bench.see(bench.node.births(ALL)) if kind == "DBIRTH"}
    assert births["press"]["temp"]["value"] == 7.5


@pytest.mark.parametrize("form", ["thingsboard", "losant", "plain", "aws-shadow"])
def test_platforms_with_fixed_topics_overwrite_by_time(form: str) -> None:
    """The same topic and time for both; where only the newest state has a place, it goes to the contract's topic."""
    config = Publish.model_validate({"layout": "platform", "platform": {"form": form, "id": "x"}})
    layout = PlatformLayout(scope_for(config, [DevicePublish()] * 2, TOPICS))
    first, again = windows()
    (one,) = layout.packets(first, hist=False, most_bytes=ALL)
    (two,) = layout.packets(again, hist=False, most_bytes=ALL)
    if form == "aws-shadow":
        assert two.topic == again.topic != one.topic
        return
    assert one.topic == two.topic
    assert (b"7.5" in one.payload, b"9.5" in two.payload) == (True, True)
    assert str(MS).encode() in one.payload
    assert str(MS).encode() in two.payload


def test_the_ledger_counts_it_as_a_message_of_its_own() -> None:
    """It has its own number, so nothing seems missing or there twice."""
    ledger, messages = Ledger(from_start=True), windows()
    for message in messages:
        decoded = parse(message.topic, message.payload)
        assert decoded.body.get("replaces", False) == (message is messages[1])
        ledger.add(decoded.topic, decoded.body)
    report = ledger.report()
    assert report.complete
    assert [(row.topic, row.received) for row in report.rows] == [(messages[0].topic, 2)]
