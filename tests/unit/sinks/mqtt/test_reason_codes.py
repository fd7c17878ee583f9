"""What went wrong, in words that say what to do."""

import socket
import ssl

import pytest

from gateway.core.errors import Permanent, Retryable
from gateway.sinks.mqtt.reason_codes import refusal, spell, unreachable


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (socket.gaierror(-2, "Name or service not known"), "host name 'h' cannot be resolved"),
        (UnicodeError("label too long"), "cannot be resolved"),
        (ConnectionRefusedError(), "is the broker running"),
        (ConnectionResetError(), "hung up at once"),
        (TimeoutError(), "within 5 s"),
        (OSError(113, "No route to host"), "h:1883: No route to host"),
        (ssl.SSLError(1, "wrong version number"), "is this the broker's TLS port?"),
        (ValueError("odd"), "the connection cannot be made: check mqtt.url"),
    ],
)
def test_an_unreachable_broker_is_explained(error: Exception, words: str) -> None:
    assert words in str(unreachable(error, "h", 1883, 5.0))


def test_unknown_reason_codes_are_tried_again_because_nothing_is_lost_by_it() -> None:
    assert isinstance(refusal(0xFE, "Mystery", "t"), Retryable)
    assert isinstance(refusal(0x87, "Not authorized", "t"), Permanent)


def test_a_refusal_names_topic_and_code() -> None:
    assert str(refusal(0x97, "Quota exceeded", "a/b")) == "the broker refused a message on a/b: quota exceeded (0x97)"


def test_a_reason_code_comes_with_advice_where_there_is_some() -> None:
    assert spell(0x86, "Bad user name or password").endswith("check mqtt.username and mqtt.password")
    assert spell(0x89, "Server busy") == "server busy"
