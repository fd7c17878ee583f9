"""Revocation lists (RFC 5280, 5 and 6.3; OPC UA Part 4, 6.1.3, "Find Revocation List" and "Revocation Check"). Pure."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

from gateway.core.foreign_text import clean
from gateway.sources.opcua.security.objection import Objection
from gateway.sources.opcua.security.path import issuers_of
from gateway.sources.opcua.security.peer_certificate import PeerCertificate


class SignedLists:
    """Revocation lists by the authority that has really signed them, and may sign them."""

    def __init__(self, crls: Sequence[x509.CertificateRevocationList]) -> None:
        """Begin without a look at them."""
        self._crls = crls
        self._found: dict[str, list[x509.CertificateRevocationList]] = {}

    def of(self, issuer: PeerCertificate) -> list[x509.CertificateRevocationList]:
        """Return the lists of an authority. Each is verified once: that takes 10 ms for each megabyte."""
        if issuer.fingerprint not in self._found:
            named = [crl for crl in self._crls if crl.issuer == issuer.readable.subject and _may_sign(issuer)]
            self._found[issuer.fingerprint] = [crl for crl in named if _is_signed(crl, issuer)]
        return self._found[issuer.fingerprint]


def is_revoked(certificate: PeerCertificate, authorities: Sequence[PeerCertificate], signed: SignedLists) -> bool:
    """Return whether one of these authorities has revoked it; a list that has expired since revokes as well."""
    serial = certificate.readable.serial_number
    return any(
        crl.get_revoked_certificate_by_serial_number(serial) is not None
        for issuer in issuers_of(certificate, authorities)
        for crl in signed.of(issuer)
    )


def list_objections(issuer: PeerCertificate, signed: SignedLists, now: datetime) -> Iterator[Objection]:
    """Object where nobody can know what an authority has revoked: no list of it is there, or the newest one has expired."""
    found = [crl for crl in signed.of(issuer) if _is_complete(crl)]
    if not found:
        yield Objection(
            "no_crl",
            issuer.fingerprint,
            f"there is no revocation list of {clean(issuer.holder)} in trusted/crl or issuers/crl",
        )
        return
    ends = [crl.next_update_utc for crl in found]
    if all(end is not None and end < now for end in ends):
        newest = max(end for end in ends if end is not None)
        words = (
            f"the revocation list of {clean(issuer.holder)} has expired on {newest:%Y-%m-%d}: put the new one in its place"
        )
        yield Objection("crl_expired", issuer.fingerprint, words)


def _is_signed(crl: x509.CertificateRevocationList, issuer: PeerCertificate) -> bool:
    key = issuer.public_key
    if not isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
        return False
    try:
        return crl.is_signature_valid(key)
    except (ValueError, TypeError, UnsupportedAlgorithm):  # a kind of signature that the library does not verify
        return False


def _may_sign(issuer: PeerCertificate) -> bool:
    try:
        return issuer.readable.extensions.get_extension_for_class(x509.KeyUsage).value.crl_sign
    except x509.ExtensionNotFound:
        return True


def _is_complete(crl: x509.CertificateRevocationList) -> bool:
    """Return whether it speaks of all certificates: a part or a delta says so by a critical extension."""
    return not any(extension.critical for extension in crl.extensions)
