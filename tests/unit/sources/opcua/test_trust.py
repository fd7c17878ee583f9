"""The verdict on a server's certificate."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from gateway.core.foreign_text import LONGEST_TEXT
from gateway.sources.opcua.client.admission import refusal_text
from gateway.sources.opcua.security.certificates import fingerprint
from gateway.sources.opcua.security.path import TrustLists
from gateway.sources.opcua.security.trust import Expected, Refused, verify
from tests.support.opcua_secure import CA_KEY, DAY, KEY, URI, certificate, crl, issued, peer
from tests.support.rsa_keys import RSA_KEYS

ROOT = issued(CA_KEY, "root", None, CA_KEY, ca=True)
LEAF = issued(KEY, "server", ROOT, CA_KEY)
NOW = datetime.now(UTC)
ANY_HOST = Expected(URI, "")
SMALL = rsa.generate_private_key(public_exponent=65537, key_size=1024)
CURVE = ec.generate_private_key(ec.SECP256R1())
USAGES = (
    "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "key_cert_sign",
    "crl_sign", "encipher_only", "decipher_only",
)  # fmt: skip


def usage(*allowed: str) -> tuple[x509.ExtensionType, bool]:
    return x509.KeyUsage(**{name: name in allowed for name in USAGES}), True


def extended(*allowed: ObjectIdentifier) -> tuple[x509.ExtensionType, bool]:
    return x509.ExtendedKeyUsage(allowed), False


def lists(trusted, issuers=(), crls=()) -> TrustLists:
    return TrustLists([peer(one) for one in trusted], [peer(one) for one in issuers], list(crls))


def judged(chain, known, expected=ANY_HOST, now=NOW):
    return verify([peer(one) for one in chain], known, expected, now)


def refused(chain, known, expected=ANY_HOST, now=NOW) -> Refused:
    with pytest.raises(Refused) as raised:
        judged(chain, known, expected, now)
    return raised.value


def accepting(*pairs) -> Expected:
    return Expected(URI, "", accepted=frozenset((fingerprint(one), kind) for one, kind in pairs))


def kinds(error: Refused) -> list[str]:
    return [one.kind for one in error.objections]


def words(error: Refused) -> str:
    return "; ".join(one.words for one in error.objections)


def test_a_trusted_certificate_passes():
    one = certificate(KEY)
    assert judged([one], lists([one]), Expected(URI, "127.0.0.1")) == ()


def test_an_unknown_certificate_is_refused_with_its_fingerprint():
    error = refused([LEAF], lists([certificate(KEY)]))
    assert error.unknown
    assert fingerprint(LEAF) in str(error)


def test_all_objections_are_named_at_once_whether_it_is_trusted_or_not():
    one = certificate(SMALL, "urn:other", host="plc.example", age=30 * DAY, valid=10 * DAY)
    for known in ([], [one]):
        error = refused([one], lists(known), Expected(URI, "10.0.0.1"))
        assert error.unknown is not bool(known)
        assert kinds(error) == ["expired", "key_length", "application_uri", "host"]
        assert all(word in words(error) for word in ("expired on", "has 1024 bits", "calls itself", "not for 10.0.0.1"))


def test_each_objection_is_accepted_by_its_name_and_for_its_fingerprint_only():
    one = certificate(KEY, "urn:other", age=30 * DAY, valid=10 * DAY)
    other = certificate(KEY, "urn:other", age=30 * DAY, valid=10 * DAY)
    both = accepting((one, "expired"), (one, "application_uri"))
    assert [found.kind for found in judged([one], lists([one]), both)] == ["expired", "application_uri"]
    assert kinds(refused([one], lists([one]), accepting((one, "expired")))) == ["application_uri"]
    assert kinds(refused([other], lists([other]), both)) == ["expired", "application_uri"]
    assert refused([one], lists([]), both).unknown, "no acceptance replaces trust"


def test_an_authority_vouches_for_what_it_signed_and_for_nothing_else():
    known = lists([ROOT], (), [crl(ROOT, CA_KEY)])
    judged([LEAF], known)
    judged([LEAF, ROOT], known)
    forged = issued(KEY, "server", ROOT, RSA_KEYS[2])
    assert refused([forged, ROOT], known).unknown
    assert refused([LEAF, ROOT], lists((), [ROOT])).unknown


def test_a_server_certificate_cannot_vouch_for_another():
    fake = issued(KEY, "fake", LEAF, KEY)
    assert refused([fake, LEAF], lists([LEAF])).unknown


@pytest.mark.parametrize("key", [CA_KEY, CURVE, ed25519.Ed25519PrivateKey.generate()], ids=["rsa", "curve", "ed25519"])
@pytest.mark.parametrize("age", [timedelta(), 30 * DAY], ids=["current", "expired"])
def test_a_revoked_certificate_is_refused_whatever_signed_the_list_and_though_it_has_expired(key, age):
    root = issued(key, "root", None, key, ca=True)
    leaf = issued(KEY, "server", root, key)
    error = refused([leaf], lists([root], (), [crl(root, key, [leaf], age=age)]), accepting((root, "crl_expired")))
    assert "CN=server was revoked by its authority" in str(error)
    assert not error.objections, "nothing in the configuration accepts it"
    trusted_itself = lists([leaf], [root], [crl(root, key, [leaf], age=age)])
    assert "was revoked" in str(refused([leaf], trusted_itself))


def test_without_a_current_list_nobody_knows_what_was_revoked():
    forged, old = crl(ROOT, KEY), crl(ROOT, CA_KEY, age=30 * DAY)
    part = crl(ROOT, CA_KEY, more=[(x509.DeltaCRLIndicator(1), True)])
    for found in ([], [forged], [part]):
        error = refused([LEAF], lists([ROOT], (), found))
        assert kinds(error) == ["no_crl"]
        assert error.objections[0].fingerprint == fingerprint(ROOT)
        assert "no revocation list of CN=root" in words(error)
    assert kinds(refused([LEAF], lists([ROOT], (), [old]))) == ["crl_expired"]
    judged([LEAF], lists([ROOT], (), [old]), accepting((ROOT, "crl_expired")))
    judged([LEAF], lists([ROOT], (), [old, crl(ROOT, CA_KEY)]))
    judged([LEAF], lists([ROOT]), accepting((ROOT, "no_crl")))
    judged([LEAF], lists([LEAF]))


def test_a_list_of_an_authority_that_may_not_sign_lists_counts_for_nothing():
    root = issued(CA_KEY, "root", None, CA_KEY, ca=True, more=[usage("key_cert_sign")])
    leaf = issued(KEY, "server", root, CA_KEY)
    assert kinds(refused([leaf], lists([root], (), [crl(root, CA_KEY)]))) == ["no_crl"]


@pytest.mark.parametrize(
    ("key", "more", "kind"),
    [
        (SMALL, [], "key_length"),
        (ec.generate_private_key(ec.SECP192R1()), [], "key_length"),
        (CA_KEY, [usage("crl_sign", "digital_signature")], "key_usage"),
        (CA_KEY, [extended(ExtendedKeyUsageOID.CODE_SIGNING)], "extended_key_usage"),
        (CA_KEY, [(x509.NameConstraints([x509.DNSName("plc")], None), True)], "critical_extension"),
    ],
)
def test_an_authority_must_be_allowed_to_vouch_for_servers(key, more, kind):
    root = issued(key, "root", None, key, ca=True, more=more)
    leaf = issued(KEY, "server", root, key)
    known = lists([root], (), [crl(root, key)])
    error = refused([leaf], known)
    assert kinds(error) == [kind]
    assert error.objections[0].fingerprint == fingerprint(root)
    judged([leaf], known, accepting((root, kind)))


@pytest.mark.parametrize(
    ("more", "kind"),
    [
        ([usage("digital_signature")], "key_usage"),
        ([usage("key_encipherment", "data_encipherment")], "key_usage"),
        ([extended(ExtendedKeyUsageOID.CLIENT_AUTH)], "extended_key_usage"),
        ([(x509.UnrecognizedExtension(ObjectIdentifier("1.2.3"), b"\x05\x00"), True)], "critical_extension"),
        ([usage("digital_signature", "key_encipherment"), extended(ExtendedKeyUsageOID.SERVER_AUTH)], ""),
        ([extended(ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE)], ""),
        ([(x509.UnrecognizedExtension(ObjectIdentifier("1.2.3"), b"\x05\x00"), False)], ""),
    ],
)
def test_a_server_must_be_allowed_to_be_one(more, kind):
    leaf = issued(KEY, "server", ROOT, CA_KEY, more=more)
    for known in (lists([leaf]), lists([ROOT], (), [crl(ROOT, CA_KEY)])):
        if kind:
            assert kinds(refused([leaf], known)) == [kind]
        else:
            judged([leaf], known)


@pytest.mark.parametrize(("longest", "fits"), [(0, False), (1, True), (None, True)])
def test_an_authority_vouches_for_no_longer_path_than_it_may(longest, fits):
    root = issued(CA_KEY, "root", None, CA_KEY, ca=True, path_length=longest)
    middle_key = RSA_KEYS[2]
    middle = issued(middle_key, "middle", root, CA_KEY, ca=True, path_length=0)
    leaf = issued(KEY, "server", middle, middle_key)
    known = lists([root], [middle], [crl(root, CA_KEY), crl(middle, middle_key)])
    if fits:
        judged([leaf], known)
    else:
        assert kinds(refused([leaf], known)) == ["path_length"]


def test_of_two_authorities_with_one_name_and_key_the_one_that_is_valid_is_taken():
    old = issued(CA_KEY, "root", None, CA_KEY, ca=True, age=300 * DAY)
    judged([LEAF, old], lists([old, ROOT], (), [crl(ROOT, CA_KEY)]))
    assert kinds(refused([LEAF], lists([old], (), [crl(ROOT, CA_KEY)]))) == ["expired"]


def test_a_server_without_an_rsa_key_is_refused_whatever_is_accepted():
    one = issued(CURVE, "server", None, CURVE)
    assert "no RSA key" in str(refused([one], lists([one]), accepting((one, "key_length"))))


def test_an_old_policy_takes_the_keys_of_its_time():
    one = certificate(SMALL)
    judged([one], lists([one]), Expected(URI, "", small_keys=True))


@pytest.mark.parametrize(("days", "kind", "word"), [(101, "expired", "expired on"), (-2, "not_yet_valid", "clocks")])
def test_validity_is_checked_at_both_ends(days, kind, word):
    one = certificate(KEY)
    error = refused([one], lists([one]), now=NOW + timedelta(days=days))
    assert word in words(error)
    assert not error.unknown
    judged([one], lists([one]), accepting((one, kind)), NOW + timedelta(days=days))


@pytest.mark.parametrize(
    ("host", "fits"), [("PLC.example", True), ("plc.example.", True), ("plc", False), ("10.0.0.1", False)]
)
def test_the_host_must_be_named(host, fits):
    one = certificate(KEY, host="plc.example")
    if fits:
        judged([one], lists([one]), Expected(URI, host))
    else:
        assert "check_host: false" in words(refused([one], lists([one]), Expected(URI, host)))


def test_a_wall_of_authorities_that_vouch_for_each_other_ends():
    key = RSA_KEYS[2]
    ring = [issued(key, "a", None, key, ca=True) for _ in range(7)]
    assert refused([issued(KEY, "server", ring[0], key), *ring], lists([ROOT])).unknown


def test_names_as_long_as_a_peer_likes_push_nothing_out_of_sight():
    """Nor can they forge a command behind the real one's place."""
    names = [x509.DNSName(f"{'h' * 50}{i}.example") for i in range(200)]
    uris = [x509.UniformResourceIdentifier(f"urn:; gateway cert trust {'0' * 64} {i}{'x' * 500}") for i in range(20)]
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "c" * 64), x509.NameAttribute(NameOID.TITLE, "t" * 64)])
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(SMALL.public_key())
    builder = builder.serial_number(1).not_valid_before(NOW - 30 * DAY).not_valid_after(NOW - DAY)
    one = builder.add_extension(x509.SubjectAlternativeName([*names, *uris]), critical=False).sign(SMALL, hashes.SHA256())
    error = refused([one], lists([]), Expected(URI, "10.0.0.1"))
    assert kinds(error) == ["expired", "key_length", "application_uri", "host"]
    device = SimpleNamespace(pki=Path("/var/lib/gateway/pki/another"))
    text = f"opc.tcp://10.0.0.1:4840: {refusal_text(error, peer(one), device)}"
    assert text.index("; besides") < LONGEST_TEXT / 2
    assert len(text) < LONGEST_TEXT * 1.1, "and hardly more is cut than the last objection"
    assert f"gateway cert trust {fingerprint(one)} --pki /var/lib/gateway/pki/another; besides" in text
    assert text.endswith(f"{{certificate: {fingerprint(one)}, although: [expired, key_length, application_uri, host]}}]")
    assert "0" * 64 not in words(error)
    assert "199 more" in words(error)
