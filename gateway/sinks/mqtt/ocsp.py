"""What an OCSP responder says of a certificate (RFC 6960), and whether it may be believed. Pure."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

MOST_BYTES: Final = 65_536
"""Of an answer; usual ones have half a kilobyte to two."""
CLOCK: Final = timedelta(minutes=5)
"""How far the responder's clock may be ahead of ours."""
_BROKEN: Final = (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm, x509.ExtensionNotFound)


def objection(answer: bytes, leaf: x509.Certificate, candidates: Sequence[x509.Certificate], now: datetime) -> str:
    """Return why an answer does not prove that the certificate is good, as a part of a sentence; empty where it does.

    candidates: certificates among which is the one that has issued `leaf`.
    """
    if not answer:
        return "the broker staples no OCSP answer"
    if len(answer) > MOST_BYTES:
        return f"its OCSP answer is longer than {MOST_BYTES} bytes"
    issuers = [one for one in candidates if _has_signed(one, leaf)]
    if not issuers:
        return "the certificate of its authority is neither shown by the broker nor in mqtt.tls.ca"
    try:
        return _judged(ocsp.load_der_ocsp_response(answer), leaf, issuers, now)
    except _BROKEN:
        return "its OCSP answer cannot be read"


def _judged(said: ocsp.OCSPResponse, leaf: x509.Certificate, issuers: Sequence[x509.Certificate], now: datetime) -> str:
    if said.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
        return f"its OCSP answer is an error ({said.response_status.name.lower()})"
    singles = [one for one in said.responses if _is_about(one, leaf, issuers)]
    if not singles:
        return "its OCSP answer is about another certificate"
    if not any(_is_signed(said, issuer, now) for issuer in issuers):
        return "its OCSP answer is not signed by its authority"
    return _told(singles, now)


def _told(singles: Sequence[ocsp.OCSPSingleResponse], now: datetime) -> str:
    if any(one.certificate_status is ocsp.OCSPCertStatus.REVOKED for one in singles):
        return "its authority has revoked it"
    newest = max(singles, key=lambda one: one.this_update_utc)
    if newest.certificate_status is not ocsp.OCSPCertStatus.GOOD:
        return "its authority does not know it"
    if newest.this_update_utc > now + CLOCK:
        return f"its OCSP answer is from the future ({newest.this_update_utc:%Y-%m-%d %H:%M}Z): check this machine's clock"
    if newest.next_update_utc is None:
        return "its OCSP answer does not say how long it is good"
    if newest.next_update_utc < now:
        return f"its OCSP answer has expired ({newest.next_update_utc:%Y-%m-%d %H:%M}Z): the broker has to renew it"
    return ""


def _is_about(one: ocsp.OCSPSingleResponse, leaf: x509.Certificate, issuers: Sequence[x509.Certificate]) -> bool:
    """Return whether an answer names this certificate: its number, and hashes of its issuer's name and key."""
    asked = [ocsp.OCSPRequestBuilder().add_certificate(leaf, issuer, one.hash_algorithm).build() for issuer in issuers]
    named = (one.serial_number, one.issuer_name_hash, one.issuer_key_hash)
    return any(named == (own.serial_number, own.issuer_name_hash, own.issuer_key_hash) for own in asked)


def _is_signed(said: ocsp.OCSPResponse, issuer: x509.Certificate, now: datetime) -> bool:
    """Return whether the issuer has signed, or a responder that it has named for that (RFC 6960, 4.2.2.2)."""
    return any(_verifies(said, signer) for signer in [issuer, *_responders(said, issuer, now)])


def _responders(said: ocsp.OCSPResponse, issuer: x509.Certificate, now: datetime) -> Iterator[x509.Certificate]:
    for one in said.certificates:
        try:
            usages = one.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
            is_valid = one.not_valid_before_utc <= now <= one.not_valid_after_utc
        except _BROKEN:
            continue
        if is_valid and ExtendedKeyUsageOID.OCSP_SIGNING in usages and _has_signed(issuer, one):
            yield one


def _has_signed(issuer: x509.Certificate, certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except _BROKEN:
        return False
    return True


def _verifies(said: ocsp.OCSPResponse, signer: x509.Certificate) -> bool:
    signature, content, digest = said.signature, said.tbs_response_bytes, said.signature_hash_algorithm
    try:
        match signer.public_key():
            case rsa.RSAPublicKey() as key if digest is not None:
                key.verify(signature, content, padding.PKCS1v15(), digest)
            case ec.EllipticCurvePublicKey() as key if digest is not None:
                key.verify(signature, content, ec.ECDSA(digest))
            case ed25519.Ed25519PublicKey() | ed448.Ed448PublicKey() as key:
                key.verify(signature, content)
            case _:
                return False
    except _BROKEN:
        return False
    return True
