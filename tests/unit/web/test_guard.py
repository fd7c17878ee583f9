"""Who may ask."""

import base64

import pytest

from gateway.web.guard import brings_token, is_foreign, is_known_host

TOKEN = "a-token-of-plenty-of-characters"


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost", "localhost:8080", "[::1]:8080", "10.1.2.3", "box.plant:80"])
def test_addresses_and_own_names_are_known(host: str) -> None:
    assert is_known_host(host, ("box.plant",))


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil", "a@b:c@d"])
def test_any_other_name_is_a_rebound_one(host: str) -> None:
    assert not is_known_host(host, ("box.plant",))


def test_a_script_of_another_site_is_foreign() -> None:
    assert is_foreign({"Origin": "https://evil.example"}, "127.0.0.1")
    assert is_foreign({"Origin": "null"}, "127.0.0.1")
    assert is_foreign({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"}, "127.0.0.1")
    assert is_foreign({"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors"}, "127.0.0.1")


def test_the_page_itself_a_link_and_a_program_are_not() -> None:
    assert not is_foreign({"Origin": "http://127.0.0.1:80", "Sec-Fetch-Site": "same-origin"}, "127.0.0.1:80")
    assert not is_foreign({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, "127.0.0.1")
    assert not is_foreign({}, "127.0.0.1")


def test_a_token_comes_as_bearer_or_as_a_password() -> None:
    assert brings_token(f"Bearer {TOKEN}", TOKEN)
    basic = base64.b64encode(f"anyone:{TOKEN}".encode()).decode()
    assert brings_token(f"Basic {basic}", TOKEN)


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer x", f"Digest {TOKEN}", "Basic !!!", "Basic /w==", TOKEN])
def test_anything_else_is_no_token(header: str) -> None:
    assert not brings_token(header, TOKEN)
