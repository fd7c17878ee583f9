"""Configuration: what is accepted, and what people are told."""

import pytest
from pydantic import ValidationError

from gateway.sources.opcua.config.device import OpcUaDevice, OpcUaTag, exact_divisor
from gateway.sources.opcua.plugin import OpcUaPlugin

DEVICE = {"name": "plc", "protocol": "opcua", "url": "opc.tcp://plc:4840/ua"}


def device(**keys):
    return OpcUaDevice.model_validate({**DEVICE, **keys})


def test_defaults_are_in_nanoseconds():
    config = device()
    assert (config.mode, config.security, config.queue_size) == ("subscribe", "auto", 10)
    assert (config.interval, config.sampling) == (250_000_000, 250_000_000)
    assert (config.timeout, config.session_timeout, config.clock_tolerance) == (10**10, 6 * 10**10, 5 * 10**9)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("opc.tcp://plc", "opc.tcp://plc:4840"),
        ("opc.tcp://plc/ua/x", "opc.tcp://plc:4840/ua/x"),
        ("opc.tcp://[fe80::1]:49320", "opc.tcp://[fe80::1]:49320"),
    ],
)
def test_the_port_is_written_out(given, kept):
    assert device(url=given).url == kept


@pytest.mark.parametrize(
    ("keys", "word"),
    [
        ({"url": "http://plc:4840"}, "expected opc.tcp://HOST"),
        ({"share_session": True, "urls": ["opc.tcp://b"]}, "expected share_session without urls"),
        ({"silence": "400ms"}, "silence is shorter than two intervals; expected more"),
        ({"history_most": "0s"}, "expected 1s to 30d"),
        ({"clock_tolerance": "25h"}, "expected 0s to 1d"),
        ({"times": "plc"}, "'server' or 'gateway'"),
        ({"times": "gateway", "history": True}, "times: server, or no history"),
        ({"accept": [{"certificate": "0fd2", "although": ["expired"]}]}, "all 64 hex digits"),
        ({"accept": [{"certificate": "0" * 64, "although": ["revoked"]}]}, "'expired', 'not_yet_valid', 'host'"),
        ({"accept": [{"certificate": "0" * 64, "although": []}]}, "at least one objection"),
        ({"accept": [{"certificate": "0" * 64, "although": ["host", "host"]}]}, "expected each once"),
        ({"history_samples": 0}, "greater than or equal to 1"),
        ({"url": "plc:4840"}, "expected opc.tcp://HOST"),
        ({"url": "opc.tcp://:4840"}, "expected opc.tcp://HOST"),
        ({"url": "opc.tcp://plc:99999"}, "0-65535"),
        ({"url": "opc.tcp://me:secret@plc"}, "username and password"),
        ({"mode": "push"}, "'subscribe' or 'poll'"),
        ({"interval": "1"}, "with a unit"),
        ({"interval": "1ms"}, "10ms"),
        ({"queue_size": 0}, "greater than or equal to 1"),
        ({"security": "Basic512"}, "'none'"),
        ({"user_certificate": "a.pem"}, "user_key as well"),
        ({"user_certificate": "a", "user_key": "b", "username": "me", "password": "x"}, "two ways to log in"),
        ({"username": "me"}, "password too, here or as a variable"),
        ({"password": "x"}, "username too"),
        ({"speed": 1}, "not permitted"),
        ({"pki": "/dev/null"}, "/dev/null is a file; expected a folder"),
        ({"found": "/etc/passwd"}, "is a file; expected a folder"),
        ({"history_kept": "a\0"}, "NUL"),
    ],
)
def test_what_is_wrong_with_a_device_is_said(keys, word):
    with pytest.raises(ValidationError, match=word):
        device(**keys)


def test_a_secret_is_not_shown():
    assert "hunter2" not in repr(device(username="me", password="hunter2"))


def test_a_tag_may_come_from_a_csv_row():
    tag = OpcUaTag.model_validate(
        {"name": "speed", "node": " ns=2;s=Speed ", "scale": "0.1", "offset": "-5", "sampling": "100ms", "unit": "mm/s"}
    )
    assert (tag.node, tag.scale, tag.offset, tag.sampling) == ("ns=2;s=Speed", 0.1, -5.0, 100_000_000)


@pytest.mark.parametrize(
    ("keys", "word"),
    [
        ({"node": "Speed"}, "not a NodeId"),
        ({"scale": "0"}, "other than 0"),
        ({"scale": "nan"}, "finite"),
        ({"offset": "inf"}, "finite"),
        ({"sampling": "fast"}, "with a unit"),
        ({"node": "/Objects//Line"}, "expected a browse path"),
        ({"index": "3:1"}, "does not rise"),
        ({"index": 63}, "in quotes"),
        ({"element": "x"}, "not the place of an element"),
        ({"field": "a..b"}, "not a field"),
        ({"server_deadband": "-1"}, "not a deadband"),
        ({"server_deadband": "200%"}, "0% to 100%"),
        ({"trigger": "always"}, "'status', 'value' or 'timestamp'"),
        ({"queue_size": 0}, "greater than or equal to 1"),
    ],
)
def test_what_is_wrong_with_a_tag_is_said(keys, word):
    with pytest.raises(ValidationError, match=word):
        OpcUaTag.model_validate({"name": "t", "node": "i=1", **keys})


@pytest.mark.parametrize(
    ("scale", "divisor"), [(0.1, 10), (0.01, 100), (-0.001, -1000), (1 / 3, 3), (1, 0), (2, 0), (0.3, 0), (1e-300, 0)]
)
def test_a_decimal_scale_is_a_division(scale, divisor):
    assert exact_divisor(scale) == divisor


def test_a_tag_from_a_csv_row_may_name_a_part_and_a_filter():
    row = {
        "node": "/Objects/2:Line/2:Machine",
        "element": "2",
        "field": "axes[1].speed",
        "index": "0:3",
        "trigger": "timestamp",
    }
    tag = OpcUaTag.model_validate({"name": "t", **row, "server_deadband": "0.5%", "queue_size": "7", "interval": "2s"})
    assert (tag.node, tag.element, tag.field, tag.index) == (row["node"], "2", "axes[1].speed", "0:3")
    assert (tag.server_deadband, tag.trigger, tag.queue_size, tag.interval) == ((0.5, True), "timestamp", 7, 2 * 10**9)


def test_filters_have_no_place_on_a_polled_device():
    tag = OpcUaTag.model_validate({"name": "t", "node": "i=1", "server_deadband": 1})
    assert OpcUaPlugin().check(device(), tag) is None
    key, message, _ = OpcUaPlugin().check(device(mode="poll"), tag)
    assert (key, message) == ("server_deadband", "has no effect, because the device is polled")
