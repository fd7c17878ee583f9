"""The verdict on a server's certificate."""

from datetime import UTC, datetime, timedelta

import pytest

from gateway.sources.opcua.security.certificates import der, fingerprint, load_chain, make_key
from gateway.sources.opcua.security.trust import Expected, Refused, TrustLists, verify
from tests.support.opcua_secure import KEY, URI, certificate, crl, issued

CA_KEY = make_key()
ROOT = issued(CA_KEY, "root", None, CA_KEY, ca=True)
LEAF = issued(KEY, "server", ROOT, CA_KEY)
NOW = datetime.now(UTC)
ANY_HOST = Expected(URI, "")


def refused(chain, lists, expected=ANY_HOST, now=NOW) -> Refused:
    with pytest.raises(Refused) as raised:
        verify(chain, lists, expected, now)
    return raised.value


def test_a_trusted_certificate_passes():
    one = certificate(KEY)
    verify([one], TrustLists([one]), Expected(URI, "127.0.0.1"), NOW)


def test_an_unknown_certificate_is_refused_with_its_fingerprint():
    error = refused([LEAF], TrustLists([certificate(KEY)]))
    assert error.unknown
    assert fingerprint(LEAF) in str(error)


def test_an_unknown_certificate_that_has_expired_is_better_renewed_than_trusted():
    error = refused([LEAF], TrustLists([certificate(KEY)]), now=NOW + timedelta(days=101))
    assert error.unknown
    assert "and it expired on" in str(error)
    assert "renew it on the server first" in str(error)


def test_an_authority_vouches_for_what_it_signed_and_for_nothing_else():
    verify([LEAF], TrustLists([ROOT]), ANY_HOST, NOW)
    verify([LEAF, ROOT], TrustLists([ROOT]), ANY_HOST, NOW)
    forged = issued(KEY, "server", ROOT, make_key())
    assert refused([forged, ROOT], TrustLists([ROOT])).unknown
    assert refused([LEAF, ROOT], TrustLists((), [ROOT])).unknown


def test_a_server_certificate_cannot_vouch_for_another():
    fake = issued(KEY, "fake", LEAF, KEY)
    assert refused([fake, LEAF], TrustLists([LEAF])).unknown


def test_a_revoked_certificate_is_refused_unless_the_list_is_forged():
    assert "revoked" in str(refused([LEAF], TrustLists([ROOT], (), [crl(ROOT, CA_KEY, [LEAF])])))
    verify([LEAF], TrustLists([ROOT], (), [crl(ROOT, KEY, [LEAF]), crl(ROOT, CA_KEY, [])]), ANY_HOST, NOW)


@pytest.mark.parametrize(("days", "word"), [(101, "expired on"), (-2, "clocks")])
def test_validity_is_checked_at_both_ends(days, word):
    one = certificate(KEY)
    error = refused([one], TrustLists([one]), now=NOW + timedelta(days=days))
    assert word in str(error)
    assert not error.unknown


@pytest.mark.parametrize(
    ("host", "fits"), [("PLC.example", True), ("plc.example.", True), ("plc", False), ("10.0.0.1", False)]
)
def test_the_host_must_be_named(host, fits):
    one = certificate(KEY, host="plc.example")
    if fits:
        verify([one], TrustLists([one]), Expected(URI, host), NOW)
    else:
        assert "check_host: false" in str(refused([one], TrustLists([one]), Expected(URI, host)))


def test_a_chain_of_bytes_is_taken_apart_and_garbage_refused():
    assert load_chain(der(LEAF) + der(ROOT)) == [LEAF, ROOT]
    for garbage in (b"x", b"\x30", b"\x30\x82", der(LEAF)[:-5], der(LEAF) + b"\x00"):
        with pytest.raises(ValueError):  # noqa: PT011 - which words is the library's business
            load_chain(garbage)
