"""Settings of the page: what is refused, and what is said then."""

import pytest
from pydantic import ValidationError

from gateway.web.config import WebConfig, split_listen


@pytest.mark.parametrize("listen", ["", "127.0.0.1:8080", "127.9.9.9:1", "[::1]:8080"])
def test_on_this_machine_nothing_else_is_needed(listen: str) -> None:
    assert WebConfig(listen=listen).is_local


@pytest.mark.parametrize(
    ("listen", "said"),
    [
        ("localhost:8080", "127.0.0.1"),
        ("8080", "no IP address|not an IP address"),
        ("127.0.0.1", "not an IP address"),
        ("127.0.0.1:0", "1 to 65535"),
        ("127.0.0.1:65536", "1 to 65535"),
        (8080, "not text"),
        ("plant.example:80", "not an IP address"),
    ],
)
def test_what_is_no_address_says_what_would_be_one(listen: object, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        WebConfig.model_validate({"listen": listen})


@pytest.mark.parametrize("listen", ["0.0.0.0:8080", "192.168.1.5:8080", "[::]:8080"])
def test_beyond_this_machine_tls_and_a_login_are_needed(listen: str) -> None:
    pair = {"cert": "/c.pem", "key": "/k.pem"}
    for less, said in [({}, "tls.cert"), ({"token_file": "/t"}, "tls.cert"), ({"tls": pair}, "token_file")]:
        with pytest.raises(ValidationError, match=said):
            WebConfig.model_validate({"listen": listen, **less})
    assert not WebConfig.model_validate({"listen": listen, "tls": pair, "token_file": "/t"}).is_local
    assert not WebConfig.model_validate({"listen": listen, "tls": {**pair, "client_ca": "/a.pem"}}).is_local


def test_halves_of_tls_are_refused() -> None:
    for half in ({"cert": "/c"}, {"key": "/k"}, {"client_ca": "/a"}):
        with pytest.raises(ValidationError, match="expected cert and key"):
            WebConfig.model_validate({"tls": half})


def test_address_and_port() -> None:
    assert split_listen("[::1]:80") == ("::1", "80")
    assert split_listen("127.0.0.1:8080") == ("127.0.0.1", "8080")
