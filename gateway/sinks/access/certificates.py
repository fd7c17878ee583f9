"""Certificates of a connection: fingerprints and the day they end. Pure, but for reading one's own file."""

import asyncio
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway.core.bounded_file import read_bounded

Owner = Literal["broker", "gateway"]


@dataclass(frozen=True, slots=True)
class Certificate:
    """What is worth knowing of a certificate.

    end_ms: when it ends, UTC; fingerprint and key_fingerprint: `sha256:...` of the certificate and of its public key
    (SubjectPublicKeyInfo, as RFC 7469 pins it).
    """

    owner: Owner
    subject: str
    end_ms: int
    fingerprint: str
    key_fingerprint: str


def certificate_of(owner: Owner, der: bytes) -> Certificate | None:
    """Read a certificate; None where it breaks rules that OpenSSL does not insist on, or has a key of an unknown kind."""
    try:
        return _describe(owner, x509.load_der_x509_certificate(der))
    except (ValueError, UnsupportedAlgorithm):
        return None


def certificate_in(owner: Owner, path: Path) -> Certificate | None:
    """Return the first certificate of a PEM file; None where it cannot be read."""
    try:
        return _describe(owner, x509.load_pem_x509_certificate(read_bounded(path)))
    except (OSError, ValueError, UnsupportedAlgorithm):
        return None


def in_use(peer: bytes, own: Path | None) -> list[Certificate]:
    """Return those of a connection. peer: the server's, DER, empty without TLS; own: the gateway's file. Reads a file."""
    found = [certificate_of("broker", peer) if peer else None, certificate_in("gateway", own) if own is not None else None]
    return [certificate for certificate in found if certificate is not None]


def peer_certificate(transport: asyncio.BaseTransport | None) -> bytes:
    """Return the certificate that the other side has shown, DER; empty without TLS."""
    secured = transport.get_extra_info("ssl_object") if transport is not None else None
    return (secured.getpeercert(binary_form=True) or b"") if secured is not None else b""


def fingerprint(content: bytes) -> str:
    """`sha256:` and 64 hex digits."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _describe(owner: Owner, certificate: x509.Certificate) -> Certificate:
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return Certificate(
        owner,
        certificate.subject.rfc4514_string(),
        int(certificate.not_valid_after_utc.timestamp() * 1000),
        fingerprint(certificate.public_bytes(Encoding.DER)),
        fingerprint(key),
    )
