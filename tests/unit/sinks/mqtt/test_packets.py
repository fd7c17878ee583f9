"""PUBLISH and PUBACK as bytes, held against paho."""

from typing import Any

import paho.mqtt.client as paho
import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from gateway.core.ports.layout import Properties
from gateway.sinks.mqtt.packets import acknowledgement, acknowledgements, publish
from gateway.sinks.mqtt.properties import pack

topics = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0+#"), min_size=1, max_size=100)
acks = st.tuples(st.integers(1, 65_535), st.sampled_from([0, 0x10, 0x80, 0x87, 0x97]), st.integers(0, 2))


class _Reader(paho.Client):
    """paho at the receiving end of bytes."""

    def __init__(self, data: bytes, v5: bool) -> None:
        super().__init__(
            CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5 if v5 else MQTTProtocolVersion.MQTTv311
        )
        self.data = data
        self.got: list[Any] = []
        self._sock = self  # type: ignore[assignment]
        while self.data:
            assert self._packet_read() == paho.MQTT_ERR_SUCCESS

    def recv(self, length: int) -> bytes:
        chunk, self.data = self.data[:length], self.data[length:]
        return chunk

    def _handle_on_message(self, message: paho.MQTTMessage) -> None:
        self.got.append(message)

    def _send_puback(self, _mid: int) -> paho.MQTTErrorCode:  # type: ignore[override]
        return paho.MQTT_ERR_SUCCESS

    def __del__(self) -> None:
        self._sock = None
        super().__del__()


@given(topics, st.binary(max_size=300), st.integers(0, 65_535), st.booleans(), st.sampled_from([None, 0, 7]))
def test_paho_reads_a_message(topic: str, payload: bytes, packet_id: int, retain: bool, alias: int | None) -> None:
    properties = None if alias is None else pack(Properties("text/plain"))
    (message,) = _Reader(publish(topic, payload, packet_id, retain, properties, alias or 0), alias is not None).got
    assert (message.topic, message.payload, message.mid) == (topic, payload, packet_id)
    assert (message.qos, message.retain, message.dup) == (int(packet_id > 0), retain, False)
    assert getattr(message.properties, "TopicAlias", None) == (alias or None)


@pytest.mark.parametrize("size", [0, 110, 120, 127, 128, 16_300, 16_383, 16_384, 2_097_152])
def test_paho_reads_any_length(size: int) -> None:
    (message,) = _Reader(publish("topic", bytes(size), 1, False, None), False).got
    assert len(message.payload) == size


@pytest.mark.parametrize("topic", ["", "a/+/b", "a/#", "a\0b", "x" * 65_536])
def test_what_is_no_topic_is_refused(topic: str) -> None:
    with pytest.raises(ValueError, match=r"topic|wildcards"):
        publish(topic, b"", 1, False, None)


def test_an_alias_takes_the_place_of_the_topic() -> None:
    assert publish("", b"x", 258, False, b"", 3) == bytes.fromhex("32 09 0000 0102 03 230003 78")


def _ack(packet_id: int, code: int, form: int) -> bytes:
    """form: how much is left out (3.4.2.1): nothing, the properties' length, the code where it is success."""
    body = packet_id.to_bytes(2) + (b"" if form == 2 and not code else bytes((code, 0)[: 2 - (form > 0)]))
    return bytes((0x40, len(body))) + body


@given(
    st.lists(acks, max_size=20), st.sampled_from([b"", b"\xd0\x00", b"\x40", b"\x40\x02\x00", b"\x40\x00", b"\x40\x85\x01"])
)
def test_acknowledgements_are_read_up_to_what_is_something_else(given: list[tuple[int, int, int]], rest: bytes) -> None:
    whole = b"".join(_ack(*ack) for ack in given)
    found, size = acknowledgements(bytearray(whole + rest))
    assert found == [(packet_id, code) for packet_id, code, _ in given]
    assert size == len(whole)


def test_a_reason_in_words_does_not_matter() -> None:
    words = b"\x1f\x00\x03no!"
    data = bytearray(bytes((0x40, 4 + len(words))) + b"\x00\x05\x97" + bytes((len(words),)) + words)
    assert acknowledgements(data) == ([(5, 0x97)], len(data))
    assert acknowledgement(data[2:]) == (5, 0x97)


@pytest.mark.parametrize("body", [b"", b"\x01", b"\x00\x01\xa3", b"\x00\x01\xff\x00"])
def test_an_acknowledgement_of_nothing_or_with_no_known_code_is_broken(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"PUBACK|reason code"):
        acknowledgement(bytearray(body))
    packet = bytearray(bytes((0x40, len(body))) + body)
    assert acknowledgements(bytearray(_ack(7, 0, 0)) + packet) == ([(7, 0)], 6)
