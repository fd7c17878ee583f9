"""What a broker's configuration accepts, and what it says to what it does not."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.sinks.mqtt.address import Address
from gateway.sinks.mqtt.config import MqttConfig


def complaint(**settings: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        MqttConfig(**settings)
    return str(caught.value)


def test_the_defaults_are_a_broker_on_this_machine() -> None:
    config = MqttConfig()
    assert config.addresses == (Address("localhost", 1883, False),)
    assert config.version == "5"
    assert (config.keepalive, config.timeout, config.in_flight) == (30_000_000_000, 5_000_000_000, 20)


@pytest.mark.parametrize(
    ("url", "address", "text"),
    [
        ("mqtt://broker", Address("broker", 1883, False), "mqtt://broker:1883"),
        ("mqtt://broker:1/", Address("broker", 1, False), "mqtt://broker:1"),
        ("mqtts://broker", Address("broker", 8883, True), "mqtts://broker:8883"),
        ("mqtts://10.0.0.1:443", Address("10.0.0.1", 443, True), "mqtts://10.0.0.1:443"),
        ("mqtt://[fe80::1]:1884", Address("fe80::1", 1884, False), "mqtt://[fe80::1]:1884"),
        ("ws://broker", Address("broker", 80, False, "/mqtt"), "ws://broker:80/mqtt"),
        ("ws://broker:9001/", Address("broker", 9001, False, "/mqtt"), "ws://broker:9001/mqtt"),
        ("wss://broker/some/path", Address("broker", 443, True, "/some/path"), "wss://broker:443/some/path"),
    ],
)
def test_the_url_has_host_port_and_path(url: str, address: Address, text: str) -> None:
    assert MqttConfig(url=url).addresses == (address,)
    assert str(address) == text


def test_several_urls_keep_their_order() -> None:
    config = MqttConfig(url=["mqtt://a", "mqtts://b"], tls={"insecure": True})
    assert [str(address) for address in config.addresses] == ["mqtt://a:1883", "mqtts://b:8883"]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ([], "a list of up to 8"),
        (["mqtt://a"] * 9, "a list of up to 8"),
        (["mqtt://a", "mqtt://a:1883"], "twice"),
        (["mqtt://a", "b"], "number 2: must begin with mqtt://"),
        ([1], "expected one address"),
        (None, "expected one address"),
    ],
)
def test_a_bad_list_of_urls_says_what_is_expected(url: object, words: str) -> None:
    assert words in complaint(url=url)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("broker", "must begin with mqtt://"),
        ("tcp://broker", "write mqtt://"),
        ("ssl://broker", "write mqtts://"),
        ("http://broker", "write ws://"),
        ("https://broker", "write wss://"),
        ("ws://broker/a b", "path"),
        ("ws://broker/ä", "path"),
        ("wss://broker/mqtt?token=x", "nothing may follow"),
        ("mqtt://[broker", "host"),
        ("mqtt://broker:99999", "port"),
        ("mqtt://broker:0", "port"),
        ("mqtt://broker:", "port"),
        ("mqtt://:1883", "host is missing"),
        ("mqtt://bro ker", "host is missing"),
        ("mqtt://broker/topic", "mqtt.root"),
        ("mqtt://broker?x=1", "nothing may follow"),
    ],
)
def test_a_bad_url_says_what_is_expected(url: str, words: str) -> None:
    assert words in complaint(url=url)


@pytest.mark.parametrize("url", ["mqtt://user:hunter2@broker", ["mqtt://a", "wss://user:hunter2@broker/mqtt"]])
def test_credentials_in_the_url_are_refused_and_not_repeated(url: object) -> None:
    text = complaint(url=url)
    assert "mqtt.password" in text
    assert "hunter2" not in text


def test_the_password_is_not_shown() -> None:
    assert "hunter2" not in repr(MqttConfig(username="gw", password="hunter2"))


@pytest.mark.parametrize(("given", "version"), [(5, "5"), (5.0, "5"), ("5", "5"), ("3.1.1", "3.1.1")])
def test_the_version_may_be_what_yaml_makes_of_it(given: object, version: str) -> None:
    assert MqttConfig(version=given).version == version


@pytest.mark.parametrize("given", [3.1, "3.1", 4, True, None, [5], {}])
def test_other_versions_are_refused(given: object) -> None:
    assert "5 or 3.1.1" in complaint(version=given)


@pytest.mark.parametrize("root", ["plant", "acme/berlin", "äöü"])
def test_the_root_is_one_or_more_levels(root: str) -> None:
    assert MqttConfig(root=root).root == root


@pytest.mark.parametrize("root", ["", "/a", "a/", "a//b", "a/+", "#", "$SYS", "a/ b"])
def test_a_root_that_is_no_topic_is_refused(root: str) -> None:
    assert "root" in complaint(root=root)


@pytest.mark.parametrize("keepalive", ["1500ms", "0s", "20h", "500ms", 30])
def test_keepalive_is_whole_seconds(keepalive: object) -> None:
    assert "keepalive" in complaint(keepalive=keepalive)


def test_what_belongs_together_is_checked() -> None:
    assert "without username" in complaint(password="x")
    assert "write mqtts://" in complaint(tls={"ca": Path("ca.pem")})
    assert "belong together" in complaint(url="mqtts://b", tls={"cert": Path("c.pem")})
    assert "remove one" in complaint(url="mqtts://b", tls={"ca": Path("c.pem"), "insecure": True})


def test_a_root_that_would_make_topics_too_long_is_refused() -> None:
    assert "1024 bytes" in complaint(root="/".join(["x" * 100] * 11))
    longest = "/".join(["x" * 100] * 10)
    assert MqttConfig(root=longest).root == longest


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"session_expiry": "1h"}, "clean_start: false"),
        ({"expiry_backlog": True}, "set expiry"),
        ({"will_delay": "30s"}, "session_expiry to at least"),
        ({"will_delay": "30s", "clean_start": False, "session_expiry": "20s"}, "session_expiry to at least"),
        ({"expiry": "1h", "version": "3.1.1"}, "needs MQTT 5"),
        ({"session_expiry": "1h", "clean_start": False, "version": "3.1.1"}, "needs MQTT 5"),
        ({"expiry": "1500ms"}, "whole seconds"),
        ({"return_after": "1s"}, "10s to 7d"),
        ({"tries": 1}, "greater than or equal to 3"),
    ],
)
def test_a_session_that_cannot_be_is_refused(settings: dict[str, Any], words: str) -> None:
    assert words in complaint(**settings)


def test_a_kept_session_with_a_delayed_will() -> None:
    config = MqttConfig(clean_start=False, session_expiry="1h", will_delay="90s", expiry="7d")
    assert (config.session_expiry, config.will_delay) == (3_600_000_000_000, 90_000_000_000)


PIN = "a1" * 32


@pytest.mark.parametrize("pin", [f"sha256:{PIN}", f"SHA256:{PIN.upper()}", "sha256:" + ":".join(["A1"] * 32)])
def test_a_pin_may_be_written_as_openssl_prints_it(pin: str) -> None:
    assert MqttConfig(url="mqtts://b", tls={"pin": pin}).tls.pin == (f"sha256:{PIN}",)
    assert len(MqttConfig(url="wss://b", tls={"pin": [pin, "sha256:" + "b2" * 32]}).tls.pin) == 2


@pytest.mark.parametrize("pin", ["sha1:" + PIN, PIN, "sha256:" + PIN[:-1], "sha256:" + "x" * 64, 5, [None]])
def test_what_is_no_pin_is_refused(pin: object) -> None:
    assert "64 hex digits" in complaint(url="mqtts://b", tls={"pin": pin})


@pytest.mark.parametrize("name", ["", "ä", "x" * 256])
def test_what_is_no_protocol_name_is_refused(name: str) -> None:
    assert "not a protocol name" in complaint(url="mqtts://b", tls={"alpn": [name]})


@pytest.mark.parametrize("in_flight", [0, 1001])
def test_in_flight_has_bounds(in_flight: int) -> None:
    assert "in_flight" in complaint(in_flight=in_flight)


@pytest.mark.parametrize(
    ("url", "spread_s"), [("mqtt://broker", 10.0), ("mqtt://127.0.0.1:99", 0.0), ("ws://localhost", 0.0)]
)
def test_a_broker_on_this_machine_needs_no_spread(url: str, spread_s: float) -> None:
    assert MqttConfig(url=url).spread_s == spread_s
