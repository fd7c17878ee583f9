"""What a broker's configuration accepts, and what it says to what it does not."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.sinks.mqtt.config import MqttConfig


def complaint(**settings: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        MqttConfig(**settings)
    return str(caught.value)


def test_the_defaults_are_a_broker_on_this_machine() -> None:
    config = MqttConfig()
    assert (config.host, config.port, config.secure, config.version) == ("localhost", 1883, False, "5")
    assert (config.keepalive, config.timeout, config.in_flight) == (30_000_000_000, 5_000_000_000, 20)


@pytest.mark.parametrize(
    ("url", "host", "port", "secure"),
    [
        ("mqtt://broker", "broker", 1883, False),
        ("mqtt://broker:1/", "broker", 1, False),
        ("mqtts://broker", "broker", 8883, True),
        ("mqtts://10.0.0.1:443", "10.0.0.1", 443, True),
        ("mqtt://[fe80::1]:1884", "fe80::1", 1884, False),
    ],
)
def test_the_url_has_host_and_port(url: str, host: str, port: int, secure: bool) -> None:
    config = MqttConfig(url=url)
    assert (config.host, config.port, config.secure) == (host, port, secure)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("broker", "must begin with mqtt://"),
        ("tcp://broker", "write mqtt://"),
        ("ssl://broker", "write mqtts://"),
        ("ws://broker", "WebSocket"),
        ("mqtt://broker:99999", "port"),
        ("mqtt://broker:0", "port"),
        ("mqtt://broker:", "port"),
        ("mqtt://:1883", "host is missing"),
        ("mqtt://bro ker", "host is missing"),
        ("mqtt://broker/topic", "mqtt.root"),
        ("mqtt://broker?x=1", "mqtt.root"),
    ],
)
def test_a_bad_url_says_what_is_expected(url: str, words: str) -> None:
    assert words in complaint(url=url)


def test_credentials_in_the_url_are_refused_and_not_repeated() -> None:
    text = complaint(url="mqtt://user:hunter2@broker")
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


@pytest.mark.parametrize("in_flight", [0, 1001])
def test_in_flight_has_bounds(in_flight: int) -> None:
    assert "in_flight" in complaint(in_flight=in_flight)
