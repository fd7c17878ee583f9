"""From a server's certificate to the authority that is trusted (RFC 5280, 6.1; OPC UA Part 4, 6.1.3). Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.hashes import SHA256

from gateway.sources.opcua.security.peer_certificate import LONGEST_CHAIN, PeerCertificate


@dataclass(frozen=True, slots=True)
class TrustLists:
    """trusted: certificates of servers or authorities; issuers: authorities that only complete a chain; crls: of both."""

    trusted: Sequence[PeerCertificate] = ()
    issuers: Sequence[PeerCertificate] = ()
    crls: Sequence[x509.CertificateRevocationList] = ()


def trusted_path(chain: Sequence[PeerCertificate], lists: TrustLists, now: datetime) -> list[PeerCertificate]:
    """Return the shortest way from the first certificate of `chain` to a trusted one; empty where there is none.

    Authorities that are valid at present come first: after a renewal two of them have the same name and key.
    """
    known = {one.fingerprint for one in lists.trusted}
    ways, seen = [[chain[0]]], {chain[0].fingerprint}
    candidates = sorted([*lists.trusted, *lists.issuers, *chain[1:]], key=lambda one: not _is_valid(one, now))
    for way in ways:
        if way[-1].fingerprint in known:
            return way
        if len(way) == LONGEST_CHAIN:
            continue
        for issuer in issuers_of(way[-1], candidates):
            if issuer.fingerprint not in seen:
                seen.add(issuer.fingerprint)
                ways.append([*way, issuer])
    return []


def issuers_of(certificate: PeerCertificate, candidates: Sequence[PeerCertificate]) -> Iterator[PeerCertificate]:
    """Yield those candidates that are authorities and have really signed."""
    return (one for one in candidates if _has_signed(one, certificate))


def _has_signed(issuer: PeerCertificate, certificate: PeerCertificate) -> bool:
    """Return whether an authority vouches for a certificate. What was read in parts only has no verifiable signature."""
    if not _is_whole(issuer) or not _is_whole(certificate):
        return False
    try:
        if not issuer.readable.extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
            return False
        certificate.readable.verify_directly_issued_by(issuer.readable)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm, x509.ExtensionNotFound):
        return False
    return True


def _is_whole(certificate: PeerCertificate) -> bool:
    return certificate.readable.fingerprint(SHA256()) == bytes.fromhex(certificate.fingerprint)


def _is_valid(certificate: PeerCertificate, now: datetime) -> bool:
    return certificate.readable.not_valid_before_utc <= now <= certificate.readable.not_valid_after_utc
