"""Properties as bytes, held against paho's own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties as PahoProperties

from gateway.core.ports.layout import Properties
from gateway.sinks.mqtt.packets import publish, variable
from gateway.sinks.mqtt.properties import pack

texts = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=300)


@given(texts, st.lists(st.tuples(texts, texts), max_size=20), st.integers(0, 2**32 - 1), st.integers(0, 65_535))
def test_paho_reads_what_was_packed(content_type: str, user: list[tuple[str, str]], expiry_s: int, alias: int) -> None:
    packed = pack(Properties(content_type, tuple(user)), expiry_s)
    packet = publish("t", b"", 1, False, packed, alias)
    at = packet.index(b"\0\1t\0\1") + 5
    read = PahoProperties(PacketTypes.PUBLISH)
    _, length = read.unpack(packet[at:])
    assert at + length == len(packet)
    assert getattr(read, "ContentType", "") == content_type
    assert getattr(read, "UserProperty", []) == user
    assert getattr(read, "MessageExpiryInterval", 0) == expiry_s
    assert getattr(read, "TopicAlias", 0) == alias


@pytest.mark.parametrize(("content_type", "utf8"), [("application/json", 1), ("text/plain", 1), ("application/cbor", None)])
def test_text_is_marked_as_utf8(content_type: str, utf8: int | None) -> None:
    read = PahoProperties(PacketTypes.PUBLISH)
    packed = pack(Properties(content_type))
    read.unpack(variable(len(packed)) + packed)
    assert getattr(read, "PayloadFormatIndicator", None) == utf8


@pytest.mark.parametrize("text", ["a\0b", "x" * 65_536])
def test_what_mqtt_cannot_carry_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="property"):
        pack(Properties(user=(("name", text),)))
