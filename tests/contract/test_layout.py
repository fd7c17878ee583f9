"""What every layout promises, the fake one included: one suite."""

import re
from collections.abc import Sequence

import pytest
from paho.mqtt.client import topic_matches_sub

from gateway.app.layout import build_layout
from gateway.cli.subscriber import auditor_of
from gateway.core.errors import Permanent
from gateway.core.messages import DeviceState, Message
from gateway.core.ports.layout import Layout, MessageObserver, Packet, Session
from gateway.core.ports.layout_plugin import LayoutScope
from gateway.encoding.topics import Topics
from gateway.plugins import LAYOUTS
from gateway.settings.publish_model import DevicePublish, Publish
from gateway.sinks.mqtt.types import ReceivedMessage
from tests.support.blocks import table
from tests.support.events import limit_alarm
from tests.support.layout import PlainLayout, scope_for, services_for
from tests.unit.encoding.test_encoder import block_of, encoder_for

TABLE = table(4, devices=2)
TOPICS = Topics.of("plant", "press-1", TABLE.devices)
ALL = 2**28


def scope(name: str) -> LayoutScope:
    return scope_for(Publish.model_validate({"layout": name}), [DevicePublish()] * 2, TOPICS)


def states() -> dict[int, DeviceState]:
    return {number: DeviceState(number, "ok") for number in range(2)}


def layout_of(name: str) -> Layout:
    if name == "fake":
        return PlainLayout()
    return build_layout(scope(name), services_for(TABLE, states=states))


@pytest.fixture(params=["fake", *LAYOUTS])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def messages(count: int = 3) -> list[Message]:
    encoder, made = encoder_for(TABLE), []
    for _ in range(count):
        made += encoder.windows(block_of([0, 1, 2, 3], last=[61.5, 0.5, 1.0, 7.0]))
        made.append(encoder.event(limit_alarm()))
        made.append(encoder.stats(None, {"sent": 1.0}, 1_700_000_000_000_000_000))
    return made


def sent(layout: Layout, made: Sequence[Message], *, hist: bool = False, most_bytes: int = ALL) -> list[Packet]:
    """All packets of a connection, in the order of sending."""
    packets: list[Packet] = []
    if isinstance(layout, Session):
        layout.will()
        packets += layout.births(most_bytes)
    for message in made:
        if isinstance(layout, MessageObserver):
            layout.observe(message)
        packets += layout.packets(message, hist=hist, most_bytes=most_bytes)
    return [layout.numbered(packet) for packet in packets] if isinstance(layout, Session) else packets


@pytest.mark.parametrize("hist", [False, True])
def test_each_message_becomes_at_least_one_packet(name: str, hist: bool) -> None:
    layout = layout_of(name)
    if isinstance(layout, Session):
        layout.will()
        layout.births(ALL)
    for message in messages():
        packets = layout.packets(message, hist=hist, most_bytes=ALL)
        assert packets
        assert all(packet.topic and "#" not in packet.topic and "+" not in packet.topic for packet in packets)


def test_packets_are_cut_to_what_the_far_end_takes(name: str) -> None:
    """As far as there are several tags to cut between; what cannot be made smaller is returned as it is, or refused."""
    layout, limit = layout_of(name), 600
    if name == "fake":
        return
    window = encoder_for(TABLE).windows(block_of([0, 1], last=[1.0, 2.0]))[0]
    whole = sent(layout, [window])[-1]
    try:
        packets = sent(layout_of(name), [window], most_bytes=limit)
    except Permanent:
        return
    assert all(len(packet.payload) <= max(limit, len(whole.payload) // 2 + 200) for packet in packets)


def test_the_same_message_makes_the_same_packets_again(name: str) -> None:
    """A message that was not acknowledged is sent again: which it is must be seen from it."""
    made = messages(1)
    one, other = layout_of(name), layout_of(name)
    first, second = sent(one, made), sent(other, made)
    assert [packet.topic for packet in first] == [packet.topic for packet in second]
    assert [packet.properties for packet in first] == [packet.properties for packet in second]


def test_only_live_values_are_the_latest_of_their_topic(name: str) -> None:
    assert not any(packet.is_latest for packet in sent(layout_of(name), messages(), hist=True))


def test_its_filters_match_all_that_it_publishes(name: str) -> None:
    if name == "fake":
        return
    own = scope(name)
    plugin = LAYOUTS[name]
    filters = list(plugin.filters(own, None))
    filters += [one for device in range(2) if own.is_per_device for one in plugin.filters(own, device)]
    for packet in sent(layout_of(name), messages()):
        assert any(topic_matches_sub(one, packet.topic) for one in filters), packet.topic


def test_a_subscriber_proves_it_complete_and_sees_what_is_missing(name: str) -> None:
    packets = sent(layout_of(name), messages(6))
    whole, broken = auditor_of("plant"), auditor_of("plant")
    for number, packet in enumerate(packets):
        received = ReceivedMessage(packet.topic, packet.payload, int(packet.is_confirmed), False, False)
        whole.add(received)
        if number != len(packets) // 2:
            broken.add(received)
    assert whole.report().complete
    assert whole.report().rows
    assert not broken.report().complete


def test_it_describes_what_it_publishes(name: str) -> None:
    if name == "fake":
        return
    own = scope(name)
    before, after = LAYOUTS[name].describe(own)
    lines = [*before, *LAYOUTS[name].describe_device(own, 0), *after]
    assert all(re.search(r"/\w", line) for line in lines)
    assert any("device0" in line for line in lines)


def test_the_default_configuration_is_without_fault(name: str) -> None:
    if name == "fake":
        return
    for plugin in LAYOUTS.values():
        assert list(plugin.check(scope(name))) == []


def test_layouts_that_publish_the_same_are_equal(name: str) -> None:
    """So a gateway with a hundred devices of one kind has one layout."""
    plugin = LAYOUTS.get(name)
    if plugin is None or plugin.device_model is None:
        return
    services = services_for(TABLE, states=states)
    assert plugin.build(scope(name), None, services) == plugin.build(scope(name), None, services)
