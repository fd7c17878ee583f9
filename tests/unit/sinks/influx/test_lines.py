"""Lines of line protocol, each read by a strict reader of its own."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.core.messages import Lane, Message
from gateway.sinks.influx.config import InfluxConfig
from gateway.sinks.influx.lines import lines_of
from tests.support.line_protocol import Point, read

TS = 1_796_060_604_000
GOOD = {"n": 5, "good": 5, "min": 1.5, "max": 1e308, "mean": 0.1, "std": 0.25, "first": 2.0, "last": 5e-324, "q": "good"}
NAMES = st.text(st.characters(codec="utf-8", exclude_categories=("C",)), min_size=1, max_size=20)


def points(
    body: dict[str, Any], stream: str = "window", device: str = "press", seq: int = 7, hist: bool = False
) -> list[Point]:
    topic = f"plant/v1/gw/{device}/{stream}" if device else f"plant/v1/gw/{stream}"
    payload = json.dumps({"boot": "1a22", "seq": seq, "ts": TS, "hist": False} | body).encode()
    message = Message(topic, "1a22", seq, Lane.WINDOW, TS, TS + 1000, payload)
    return read("\n".join(line for _, line in lines_of(message, payload, "gw", "gateway_", hist=hist)))


def test_a_window_is_a_point_per_tag():
    bad = {"n": 0, "good": 0, "mean": None, "last": 7.0, "last_ts": 5, "q": "bad", "reason": "not_connected"}
    oil, slide = points({"dur": 1000, "tags": {"oil": GOOD, "slide": bad}}, hist=True)
    assert (oil.measurement, oil.tags) == ("gateway_window", {"gateway": "gw", "device": "press", "tag": "oil"})
    assert oil.fields == GOOD | {"dur": 1000, "boot": "1a22", "seq": 7, "hist": True}
    assert oil.time_ns == slide.time_ns == TS * 1_000_000
    assert slide.fields["reason"] == "not_connected"
    assert slide.fields["last_ts"] == 5
    assert "mean" not in slide.fields


def test_a_supplement_is_a_point_of_its_own_and_a_whole_window_takes_the_place_of_the_first():
    first, supplement, other, whole = (
        points({"dur": 1000, "tags": {"oil": GOOD}, **more}, seq=seq)[0]
        for seq, more in ((7, {}), (8, {"late": True}), (9, {"late": True}), (10, {"late": True, "replaces": True}))
    )
    assert len({first.time_ns, supplement.time_ns, other.time_ns}) == 3
    assert whole.time_ns == first.time_ns
    assert whole.fields["reason"] == ""
    assert supplement.fields["late"] is True


def test_a_value_has_a_field_of_its_type():
    values = {"a": True, "b": 5, "c": 1.5, "d": 'x "y" \\ \n z', "e": 2**64 - 1, "f": [1, {"g": 2}], "h": None}
    found = points({"tags": {key: {"value": value, "ts": 3, "q": "good"} for key, value in values.items()}}, "value")
    own = {
        point.tags["tag"]: {key: value for key, value in point.fields.items() if key.startswith("value")} for point in found
    }
    assert own == {
        "a": {"value_bool": True},
        "b": {"value_int": 5},
        "c": {"value": 1.5},
        "d": {"value_text": 'x "y" \\ \\n z'},
        "e": {"value_text": "18446744073709551615"},
        "f": {"value_text": '[1,{"g":2}]'},
        "h": {"value_text": "null"},
    }
    assert found[0].time_ns == 3_000_000


def test_events_of_one_moment_are_points_of_their_own():
    first, second = (
        points({"kind": "alarm", "severity": 500, "tag": "oil", "state": "active"}, "event", seq=seq)[0] for seq in (1, 2)
    )
    assert first.tags == {"gateway": "gw", "device": "press", "kind": "alarm", "tag": "oil"}
    assert json.loads(str(first.fields["body"]))["state"] == first.fields["state"] == "active"
    assert second.time_ns == first.time_ns + 1


def test_what_is_about_the_gateway_has_no_device_and_unknown_streams_come_whole():
    (stats,) = points({"stats": {"waiting": 3, "broker": "a b", "x,y": 1.5}}, "stats", device="")
    assert stats.tags == {"gateway": "gw"}
    assert (stats.fields["waiting"], stats.fields["broker_text"], stats.fields["x,y"]) == (3.0, "a b", 1.5)
    (raw,) = points({"rows": [1, 2]}, "raw")
    assert json.loads(str(raw.fields["body"]))["rows"] == [1, 2]


@given(NAMES, NAMES, NAMES, st.floats(allow_nan=False, allow_infinity=False), st.integers(0, 2**62))
@pytest.mark.hypothesis
def test_every_name_text_and_number_is_read_as_it_was(device, tag, reason, mean, n):
    device = device.replace("/", "_")
    (point,) = points({"tags": {tag: {"n": n, "mean": mean, "q": "bad", "reason": reason}}}, device=device)
    bare = tag.rstrip("\\")
    assert point.tags["tag"] == bare + "/" * (len(tag) - len(bare))
    assert point.fields["mean"] == mean
    assert (point.fields["n"], point.fields["reason"]) == (n, reason)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"url": "udp://host:8089"}, "must begin with http"),
        ({"url": "http://gw:s3cret@host"}, "must not carry user name"),
        ({"url": "http://host:8086?db=x"}, "nothing else"),
        ({"version": 3}, "version"),
        ({"version": 1, "token": "s3cret"}, "token have no meaning with version: 1"),
        ({"database": "x"}, "database have no meaning with version: 2"),
        ({"token": "s3cret", "token_file": "/t"}, "in two ways"),
        ({"version": 1, "password": "s3cret"}, "without username"),
        ({"prefix": "a b"}, "is no begin of a measurement"),
        ({"tls": {"insecure": True}}, "does not begin with https"),
    ],
)
def test_what_cannot_be_used_is_refused_in_words_without_the_secret(settings, words):
    with pytest.raises(ValidationError) as caught:
        InfluxConfig.model_validate(settings)
    assert words in str(caught.value)
    assert "s3cret" not in str(caught.value)
