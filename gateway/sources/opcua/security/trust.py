"""Whether a server's certificate may be trusted (OPC UA Part 4, 6.1.3). Pure: lists in, a verdict out."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address
from itertools import pairwise

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import rsa

from gateway.sources.opcua.security.certificates import application_uris, fingerprint, holder, hosts

_LONGEST_CHAIN = 8
_SMALLEST_KEY_BITS = 2048


@dataclass(frozen=True, slots=True)
class TrustLists:
    """trusted: certificates of servers or authorities; issuers: authorities that only complete a chain; crls: of both."""

    trusted: Sequence[x509.Certificate] = ()
    issuers: Sequence[x509.Certificate] = ()
    crls: Sequence[x509.CertificateRevocationList] = ()


@dataclass(frozen=True, slots=True)
class Expected:
    """What the certificate must say. host: from the device's url, "" for any; small_keys: accept RSA below 2048 bits."""

    application_uri: str
    host: str
    small_keys: bool = False


class Refused(Exception):
    """The certificate is refused; the text says why and what to do. unknown: trusting it is what would help."""

    def __init__(self, text: str, *, unknown: bool = False) -> None:
        self.unknown = unknown
        super().__init__(text)


def verify(chain: Sequence[x509.Certificate], lists: TrustLists, expected: Expected, now: datetime) -> None:
    """Return if the first certificate of `chain` may be trusted. Raises Refused.

    A revocation list is used where there is one; an authority without one is not held against its certificates.
    """
    leaf = chain[0]
    path = _path(chain, lists)
    known = {fingerprint(certificate) for certificate in lists.trusted}
    if not known & {fingerprint(certificate) for certificate in path}:
        host = f"; and {mismatch}" if (mismatch := _wrong_host(leaf, expected.host)) else ""
        ended = f"; and it {_ended(leaf)}: renew it on the server first" if now > leaf.not_valid_after_utc else ""
        raise Refused(
            f"the server's certificate is not trusted (SHA-256 {fingerprint(leaf)}){_former(leaf, lists)}{ended}{host}",
            unknown=True,
        )
    for certificate in path:
        _check_time(certificate, now)
    for certificate, issuer in pairwise(path):
        _check_revocation(certificate, issuer, lists.crls)
    key = leaf.public_key()
    if not isinstance(key, rsa.RSAPublicKey):
        raise Refused("the server's certificate has no RSA key; elliptic curves are not supported")
    if key.key_size < _SMALLEST_KEY_BITS and not expected.small_keys:
        raise Refused(f"the server's key has {key.key_size} bits, fewer than 2048; make a new certificate on the server")
    if expected.application_uri not in application_uris(leaf):
        raise Refused(
            f"the certificate belongs to {', '.join(application_uris(leaf)) or 'no application'}, but the server calls "
            f"itself {expected.application_uri}; correct the server's certificate or its application URI"
        )
    if mismatch := _wrong_host(leaf, expected.host):
        raise Refused(mismatch)


def _path(chain: Sequence[x509.Certificate], lists: TrustLists) -> list[x509.Certificate]:
    """From the leaf as far up as issuers can be found and have really signed."""
    candidates = [*chain[1:], *lists.issuers, *lists.trusted]
    path = [chain[0]]
    while len(path) < _LONGEST_CHAIN and path[-1].issuer != path[-1].subject:
        issuer = next((c for c in candidates if _signed(path[-1], c)), None)
        if issuer is None:
            break
        path.append(issuer)
    return path


def _signed(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        if not issuer.extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
            return False
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False
    return True


def _check_time(certificate: x509.Certificate, now: datetime) -> None:
    if now > certificate.not_valid_after_utc:
        raise Refused(
            f"the certificate of {holder(certificate)} {_ended(certificate)}; renew it on the server and trust the new one"
        )
    if now < certificate.not_valid_before_utc:
        raise Refused(
            f"the certificate of {holder(certificate)} is valid only from "
            f"{certificate.not_valid_before_utc:%Y-%m-%d %H:%M}Z; check the clocks of the gateway and the server"
        )


def _ended(certificate: x509.Certificate) -> str:
    return f"expired on {certificate.not_valid_after_utc:%Y-%m-%d}"


def _check_revocation(
    certificate: x509.Certificate, issuer: x509.Certificate, crls: Sequence[x509.CertificateRevocationList]
) -> None:
    key = issuer.public_key()
    for crl in crls:
        if crl.issuer != issuer.subject or not isinstance(key, rsa.RSAPublicKey) or not crl.is_signature_valid(key):
            continue
        if crl.get_revoked_certificate_by_serial_number(certificate.serial_number) is not None:
            raise Refused(f"the certificate of {holder(certificate)} was revoked by its authority; renew it on the server")


def _former(leaf: x509.Certificate, lists: TrustLists) -> str:
    uris = set(application_uris(leaf))
    former = [c for c in lists.trusted if uris & set(application_uris(c))]
    if not former:
        return ""
    return f"; so far another one of the same server was trusted ({fingerprint(former[0])}): was it renewed on purpose?"


def _wrong_host(leaf: x509.Certificate, host: str) -> str:
    named = hosts(leaf)
    if not host or _plain(host) in {_plain(name) for name in named}:
        return ""
    rename = f"write {' or '.join(named)} in url:, " if named else ""
    return (
        f"the certificate is made for {', '.join(named) or 'no host'}, not for {host}: {rename}make a certificate with the "
        "right name on the server, or accept any host with check_host: false (on the command line --no-check-host)"
    )


def _plain(host: str) -> str:
    try:
        return str(ip_address(host))
    except ValueError:
        return host.lower().rstrip(".")
