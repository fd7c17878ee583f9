"""NodeIds as people write them."""

from uuid import UUID

import pytest

from gateway.sources.opcua.config.node_id import NodeAddress, parse_node_id


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("i=2258", NodeAddress(0, "i", 2258)),
        ("ns=3;i=4294967295", NodeAddress(3, "i", 4294967295)),
        ("ns=2;s=Line/Speed", NodeAddress(2, "s", "Line/Speed")),
        ("s=a;b=c ns=1;", NodeAddress(0, "s", "a;b=c ns=1;")),
        ('ns=3;s="DB1"."value"', NodeAddress(3, "s", '"DB1"."value"')),
        ("ns=1;g=09087e75-8e5e-499b-954f-f2a9603db28a", NodeAddress(1, "g", UUID("09087e75-8e5e-499b-954f-f2a9603db28a"))),
        ("ns=1;b=M/RbKBsRVkePCePcx24oRA==", NodeAddress(1, "b", bytes.fromhex("33f45b281b1156478f09e3dcc76e2844"))),
    ],
)
def test_every_kind_of_identifier_is_taken_apart(text, expected):
    assert parse_node_id(text) == expected


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "not a NodeId"),
        ("Speed", "not a NodeId"),
        ("ns=2", "not a NodeId"),
        ("ns=2;x=1", "not a NodeId"),
        ("ns=;i=1", "ns="),
        ("ns=65536;i=1", "0 to 65535"),
        ("ns=-1;i=1", "ns=-1"),
        ("i=4294967296", "0 to 4294967295"),
        ("i=", "i="),
        ("i=٣", "i="),
        ("s=", "1 to 4096"),
        ("g=123", "GUID"),
        ("b=***", "base64"),
        ("nsu=;s=1", "is not a NodeId"),
        (2258, "not text"),
    ],
)
def test_what_is_wrong_is_said(text, word):
    with pytest.raises(ValueError, match=word.replace("(", r"\(")):
        parse_node_id(text)
