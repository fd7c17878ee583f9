"""Records: topic, key and headers of a message."""

import pytest
from pydantic import ValidationError

from gateway.core.errors import Permanent
from gateway.core.messages import Lane, Message
from gateway.core.ports.layout import Packet, Properties
from gateway.sinks.kafka.config import KafkaConfig
from gateway.sinks.kafka.records import RecordWriter


def record_of(place: str, *, hist: bool = False, user: tuple[tuple[str, str], ...] = (), **settings: object):
    message = Message(place, "1a22", 7, Lane.WINDOW, 1_796_060_604_000, 1_796_060_605_000, b"{}")
    writer = RecordWriter(KafkaConfig.model_validate(settings), "gw")
    packet = Packet(place, b"{}", properties=Properties("application/json", user))
    return writer.record(message, packet, hist=hist, done=lambda error: None)


def test_headers_identify_a_message():
    record = record_of("plant/v1/gw/press/window", hist=True)
    assert (record.topic, record.key, record.time_ms) == ("gateway.window", b"press", 1_796_060_604_000)
    assert dict(record.headers) == {
        "boot": b"1a22",
        "seq": b"7",
        "topic": b"plant/v1/gw/press/window",
        "content-type": b"application/json",
        "hist": b"true",
    }


def test_a_part_of_a_message_says_which():
    record = record_of("plant/v1/gw/press/window", user=(("boot", "1a22"), ("part", "2/3")), cloudevents=True)
    assert dict(record.headers)["part"] == b"2/3"
    assert dict(record.headers)["ce_id"] == b"1a22-7-window-2/3"


@pytest.mark.parametrize(
    ("place", "template", "key", "expected"),
    [
        ("plant/v1/gw/event", "{stream}", "{device}", ("event", b"gw")),
        ("a/b/v1/gw/press/value", "{gateway}.{device}.{stream}", "{gateway}/{device}", ("gw.press.value", b"gw/press")),
        ("plant/v1/gw/Presse 1 ü/window", "x.{device}", "{device}", ("x.Presse_1__", "Presse 1 ü".encode())),
        ("plant/v1/gw/gw/window", "{device}-{stream}", "{device}", ("gw-window", b"gw")),
        ("plant/v1/gw/stats", "{device}-{stream}", "k", ("gw-stats", b"k")),
    ],
)
def test_templates(place, template, key, expected):
    record = record_of(place, topic=template, key=key)
    assert (record.topic, record.key) == expected


def test_cloudevents_name_source_type_and_time():
    headers = dict(record_of("plant/v1/gw/press/event", cloudevents=True).headers)
    assert headers["ce_specversion"] == b"1.0"
    assert headers["ce_source"] == b"/gw/press"
    assert headers["ce_type"] == b"gateway.event"
    assert headers["ce_time"] == b"2026-11-30T17:43:24.000Z"


def test_a_topic_that_is_too_long_is_refused_for_good():
    with pytest.raises(Permanent, match="expected up to 249"):
        record_of(f"plant/v1/gw/{'d' * 128}/window", topic="{device}.{device}")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"brokers": []}, "expected one address"),
        ({"brokers": "http://kafka:9092"}, "is not an address"),
        ({"brokers": "kafka:0"}, "1 to 65535"),
        ({"topic": "plant/{stream}"}, "is not a topic of Kafka"),
        ({"topic": "{tag}"}, "unknown placeholder tag"),
        ({"topic": "{gateway.__class__}"}, "unknown placeholder"),
        ({"key": "{"}, "unknown placeholder"),
        ({"sasl": {"mechanism": "PLAIN"}}, "needs username"),
        ({"sasl": {"mechanism": "PLAIN", "username": "gw"}}, "needs password"),
        ({"sasl": {"mechanism": "OAUTHBEARER"}}, "needs token_file"),
        ({"sasl": {"username": "gw", "password": "s3cret", "token_file": "/t"}}, "no meaning with SCRAM-SHA-512"),
        ({"tls": {"cert": "/c"}}, "belong together"),
        ({"compression": "brotli"}, "compression"),
        ({"timeout": "10ms"}, "1s to 1h"),
    ],
)
def test_what_cannot_be_used_is_refused_in_words_without_the_password(settings, words):
    with pytest.raises(ValidationError) as caught:
        KafkaConfig.model_validate(settings)
    assert words in str(caught.value)
    assert "s3cret" not in str(caught.value)
