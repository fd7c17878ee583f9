"""Messages from a broker are judged, never trusted."""

import contextlib

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.decoded_message import DecodedMessage, Malformed
from gateway.encoding.decoder import parse

WINDOW = {"boot": "b", "seq": 1, "ts": 1000, "dur": 1000, "hist": False, "tags": {"t": {"n": 1, "q": "good"}}}
EVENT = {"boot": "b", "seq": 1, "ts": 1000, "kind": "alarm"}


def taken(topic: str, body: object, root: str = "plant") -> DecodedMessage:
    return parse(topic, orjson.dumps(body), root)


def test_a_window_names_gateway_and_device():
    message = taken("plant/v1/gw/press/window", WINDOW)
    assert (message.gateway, message.device, message.kind) == ("gw", "press", "window")


def test_an_event_may_be_of_the_gateway_itself():
    message = taken("plant/v1/gw/event", EVENT)
    assert (message.gateway, message.device) == ("gw", "")


def test_a_root_of_several_levels_is_understood_with_and_without_being_told():
    assert taken("acme/berlin/v1/gw/press/window", WINDOW, "acme/berlin").device == "press"
    assert taken("acme/berlin/v1/gw/press/window", WINDOW, "").device == "press"


def test_a_known_root_settles_what_a_level_named_v1_means():
    assert taken("v1/v1/gw/event", EVENT, "v1").gateway == "gw"
    assert taken("plant/v1/gw/v1/event", EVENT).device == "v1"


@pytest.mark.parametrize(
    "topic",
    ["", "/", "x", "plant/v1/gw/press/other", "plant/v2/gw/press/window", "plant/v1/gw/window", "plant/v1/gw/press/status",
     "plant/v1//press/window", "plant/v1/gw/a/b/window"],
)  # fmt: skip
def test_foreign_topics_are_refused(topic):
    with pytest.raises(Malformed, match="foreign topic"):
        taken(topic, WINDOW)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ([1], "a JSON list"),
        (WINDOW | {"seq": "1"}, "'seq' is str"),
        (WINDOW | {"seq": True}, "'seq' is bool"),
        (WINDOW | {"seq": 0}, "below 1"),
        (WINDOW | {"tags": []}, "'tags' is list"),
        (WINDOW | {"tags": {"t": 1}}, "a tag is not an object"),
        ({k: v for k, v in WINDOW.items() if k != "boot"}, "no key 'boot'"),
    ],
)
def test_what_is_wrong_is_named(body, reason):
    with pytest.raises(Malformed, match=reason):
        taken("plant/v1/gw/press/window", body)


@pytest.mark.parametrize("payload", [b"", b"{", b"\xff", b"[" * 100_000, b'"\\ud800"', b'{"seq":NaN}'])
def test_what_is_not_json_is_refused(payload):
    with pytest.raises(Malformed, match="JSON"):
        parse("plant/v1/gw/press/window", payload, "plant")


@given(st.text(), st.binary())
def test_nothing_else_than_malformed_ever_comes_out(topic, payload):
    with contextlib.suppress(Malformed):
        parse(topic, payload, "plant")
