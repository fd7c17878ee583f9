"""The PKI folder: the own certificate and its succession, trust and rejection."""

import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from gateway.sources.opcua.security import pki as module
from gateway.sources.opcua.security.certificates import fingerprint
from gateway.sources.opcua.security.pki import Pki, fault
from tests.support.opcua_secure import certificate, crl, issued, peer
from tests.support.rsa_keys import SMALL_RSA_KEY as KEY

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def pki(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "make_key", lambda: KEY)
    return Pki(tmp_path / "a" / "pki")


def test_the_own_certificate_is_made_once_and_the_key_is_private(pki):
    own = pki.own(NOW)
    assert pki.own(NOW).certificate == own.certificate
    assert (pki.folder / "own/private/key.pem").stat().st_mode & 0o777 == 0o600
    assert own.application_uri.startswith("urn:")


@pytest.mark.parametrize("times", [5])
def test_many_at_once_get_one_certificate(pki, times):
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: fingerprint(Pki(pki.folder).own(NOW).certificate), range(times)))
    assert len(set(found)) == 1


def test_the_next_certificate_lies_ready_before_it_is_used_and_keeps_key_and_uri(pki):
    first = pki.own(NOW)
    end = first.certificate.not_valid_after_utc
    assert pki.own(end - timedelta(days=61)).next is None
    ready = pki.own(end - timedelta(days=59))
    assert ready.certificate == first.certificate
    assert ready.next is not None
    used = pki.own(end - timedelta(days=6))
    assert (used.certificate, used.next) == (ready.next, None)
    assert used.application_uri == first.application_uri
    assert used.certificate.public_key() == first.certificate.public_key()


def test_a_new_certificate_on_demand_keeps_key_and_uri(pki):
    first, second = pki.own(NOW), pki.renew(NOW)
    assert fingerprint(first.certificate) != fingerprint(second.certificate)
    assert first.application_uri == second.application_uri


def test_a_foreign_key_is_noticed(pki):
    pki.own(NOW)
    pki.own_path.write_bytes(b"")
    with pytest.raises(ValueError, match="is not a certificate"):
        pki.own(NOW)


def test_what_is_trusted_is_no_longer_rejected(pki):
    one = certificate(KEY)
    pki.reject(peer(one))
    pki.reject(peer(one))
    assert [entry.certificate.fingerprint for entry in pki.listed("rejected")] == [fingerprint(one)]
    pki.trust(peer(one))
    assert (pki.listed("rejected"), pki.lists().trusted) == ([], [peer(one)])


def test_rejected_certificates_have_a_ceiling(tmp_path):
    pki = Pki(tmp_path, most_rejected=2)
    for _ in range(4):
        pki.reject(peer(certificate(KEY)))
    assert len(pki.listed("rejected")) == 2


def test_a_file_that_is_no_certificate_is_named(pki):
    pki.trust(peer(certificate(KEY)))
    (pki.folder / "trusted/certs/junk.pem").write_text("junk")
    with pytest.raises(ValueError, match=r"junk\.pem is not a certificate"):
        pki.lists()


@pytest.mark.parametrize("place", ["trusted/certs/x.der", "issuers/certs/x.pem", "trusted/crl/x.crl", "own/private/key.pem"])
@pytest.mark.parametrize("kind", ["pipe", "device", "large"])
def test_a_file_that_never_ends_is_refused_with_its_name(pki, place, kind):
    """A pipe would hold the thread that reads, and with it the end of the process; a device would fill the memory."""
    path = pki.folder / place
    path.parent.mkdir(parents=True)
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "device":
            path.symlink_to("/dev/zero")
        case "large":
            with path.open("wb") as file:
                file.truncate(2**30)
    if place.endswith("crl") and kind != "large":
        assert list(pki.lists().crls) == []
        return
    with pytest.raises((OSError, ValueError)) as refused:
        _ = pki.own(NOW), pki.lists()
    assert str(path) in fault(refused.value)


def test_a_folder_has_room_for_so_many_files_lists_and_bytes(pki, monkeypatch):
    key = ec.generate_private_key(ec.SECP256R1())
    authority = issued(key, "a", None, key, ca=True)
    lists = pki.folder / "trusted" / "crl"
    lists.mkdir(parents=True)
    (lists / "two.pem").write_bytes(crl(authority, key).public_bytes(Encoding.PEM) * 2)
    pki.trust(peer(certificate(KEY)))
    assert len(pki.lists().crls) == 2
    for name, most, words in (("_MOST_LISTS", 1, "more than 1 revocation lists"), ("_MOST_LIST_BYTES", 100, r"two\.pem")):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, most)
            with pytest.raises(ValueError, match=words):
                pki.lists()
    monkeypatch.setattr(module, "_MOST_FILES", 1)
    pki.trust(peer(certificate(KEY)))
    with pytest.raises(ValueError, match="certs holds more than 1 files"):
        pki.lists()
