"""Whether a server has the namespaces that an address names."""

import pytest

from gateway.sources.opcua.config.namespaces import lacking

URIS = ("http://opcfoundation.org/UA/", "urn:server", "http://acme.com/line")
THERE = "it has 1 urn:server, 2 http://acme.com/line"


@pytest.mark.parametrize(
    "text",
    ["ns=2;s=Speed", "i=85", "nsu=http://acme.com/line;s=Speed", "/Objects/2:Line", "/Objects/{http://acme.com/line}Line"],
)
def test_nothing_is_lacking(text):
    assert lacking(text, URIS) == ""


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("ns=3;s=Speed", "3"),
        ("nsu=http://acme.com/lien;s=Speed", "http://acme.com/lien"),
        ("/Objects/2:Line/17:Speed", "17"),
        ("/Objects/{urn:x}Line", "urn:x"),
    ],
)
def test_what_is_lacking_is_named_with_what_is_there(text, name):
    assert lacking(text, URIS) == f"the server has no namespace {name}; {THERE}"


def test_a_server_that_does_not_say_is_not_judged():
    assert lacking("ns=9;s=Speed", ()) == ""


def test_a_server_with_the_standard_namespace_alone():
    assert lacking("ns=1;i=1", URIS[:1]) == "the server has no namespace 1; it has only 0"
