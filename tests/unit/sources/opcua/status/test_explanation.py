"""Status codes in words."""

import pytest

from gateway.sources.opcua.status.explanation import explained


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (0x80560000, "BadTooManySessions: all sessions of the server are taken; end other clients, or wait until"),
        (0x80560480, "BadTooManySessions: all sessions"),
        (0x80340000, "BadNodeIdUnknown: the server has no such node"),
        (0x80350000, "BadAttributeIdInvalid: it is no variable"),
        (0x806F0000, "BadNoMatch: no node has this path"),
        (0x801A0000, "BadCertificateUntrusted"),
        (0x810E0000, "BadLicenseExpired: the server's licence has expired"),
        (0x81FF0000, "0x81ff0000"),
    ],
)
def test_a_status_is_named_and_where_that_is_not_enough_explained(status, text):
    assert explained(status).startswith(text)
