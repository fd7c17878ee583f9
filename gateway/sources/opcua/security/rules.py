"""What a certificate must be, rule by rule (OPC UA Part 4, 6.1.3; Part 6, 6.2.2; RFC 5280, 4.2 and 6.1). Pure.

Each rule yields an objection; nothing here knows what is trusted or accepted. `docs/security/trust.md` gives the reasons.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from ipaddress import ip_address
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

from gateway.core.foreign_text import LONGEST_NAME, clean
from gateway.sources.opcua.security.objection import Objection
from gateway.sources.opcua.security.peer_certificate import PeerCertificate

SMALLEST_RSA_BITS: Final = 2048
"""Of Basic256Sha256 and the policies named Aes (Part 7, their key lengths)."""
SMALLEST_SHA1_BITS: Final = 1024
"""Of Basic128Rsa15 and Basic256."""
SMALLEST_CURVE_BITS: Final = 224
_NAMED: Final = 1
"""Names of a certificate that an objection shows."""
_LONGEST: Final = 32
"""Characters of each: what to do must not be pushed out of sight."""
_SERVERS: Final = frozenset({ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE})
_UNDERSTOOD: Final = frozenset(
    {
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME, ExtensionOID.BASIC_CONSTRAINTS, ExtensionOID.KEY_USAGE,
        ExtensionOID.EXTENDED_KEY_USAGE, ExtensionOID.SUBJECT_KEY_IDENTIFIER, ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
        ExtensionOID.CERTIFICATE_POLICIES, ExtensionOID.ISSUER_ALTERNATIVE_NAME, ExtensionOID.CRL_DISTRIBUTION_POINTS,
        ExtensionOID.AUTHORITY_INFORMATION_ACCESS,
    }
)  # fmt: skip


def time_objections(one: PeerCertificate, now: datetime) -> Iterator[Objection]:
    """Object to what is expired or not yet valid."""
    begin, end = one.readable.not_valid_before_utc, one.readable.not_valid_after_utc
    if now > end:
        yield Objection("expired", one.fingerprint, f"{_who(one)} expired on {end:%Y-%m-%d}: renew it")
    if now < begin:
        yield Objection(
            "not_yet_valid", one.fingerprint,
            f"{_who(one)} is valid only from {begin:%Y-%m-%d %H:%M}Z, and here it is {now:%Y-%m-%d %H:%M}Z: "
            "check the clocks of the gateway and the server",
        )  # fmt: skip


def key_objections(one: PeerCertificate, smallest_rsa_bits: int) -> Iterator[Objection]:
    """Object to a key that is too small. A longer one than a policy's longest is not weaker, so it passes."""
    key = one.public_key
    match key:
        case rsa.RSAPublicKey() | dsa.DSAPublicKey():
            bits, least = key.key_size, smallest_rsa_bits
        case ec.EllipticCurvePublicKey():
            bits, least = key.key_size, SMALLEST_CURVE_BITS
        case ed25519.Ed25519PublicKey() | ed448.Ed448PublicKey():
            return
        case _:
            yield Objection("key_length", one.fingerprint, f"the key of {_who(one)} is of a kind that is not judged here")
            return
    if bits < least:
        yield Objection(
            "key_length",
            one.fingerprint,
            f"the key of {_who(one)} has {bits} bits, fewer than {least}",
        )


def server_objections(one: PeerCertificate) -> Iterator[Objection]:
    """Object to a server's key that may not do what the channel does with it (Part 6, 6.2.2: sign, encrypt, be a server)."""
    usage, extended = _usage(one), _extended_usage(one)
    if usage is not None and not (usage.digital_signature and (usage.key_encipherment or usage.data_encipherment)):
        yield Objection(
            "key_usage", one.fingerprint,
            f"the key of {_who(one)} may not be used for signatures and encryption (keyUsage)",
        )  # fmt: skip
    if extended is not None and not _SERVERS & set(extended):
        yield Objection(
            "extended_key_usage", one.fingerprint,
            f"{_who(one)} is not for servers (extendedKeyUsage)",
        )  # fmt: skip


def authority_objections(path: Sequence[PeerCertificate], place: int) -> Iterator[Objection]:
    """Object to an authority that may not sign certificates, not those of servers, or not at this place of the path."""
    one = path[place]
    usage, extended = _usage(one), _extended_usage(one)
    if usage is not None and not usage.key_cert_sign:
        yield Objection("key_usage", one.fingerprint, f"{_who(one)} may not sign certificates (keyUsage)")
    if extended is not None and not _SERVERS & set(extended):
        yield Objection("extended_key_usage", one.fingerprint, f"{_who(one)} may not vouch for servers (extendedKeyUsage)")
    longest = one.readable.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length
    between = sum(other.readable.subject != other.readable.issuer for other in path[1:place])
    if longest is not None and between > longest:
        yield Objection(
            "path_length", one.fingerprint,
            f"{_who(one)} vouches for no more than {longest} authorities below it, and here are {between} (pathLen)",
        )  # fmt: skip


def extension_objections(one: PeerCertificate) -> Iterator[Objection]:
    """Object to critical extensions that are not judged, names constraints among them (RFC 5280, 4.2)."""
    strange = [e.oid.dotted_string for e in one.readable.extensions if e.critical and e.oid not in _UNDERSTOOD]
    if strange:
        yield Objection(
            "critical_extension", one.fingerprint,
            f"{_who(one)} has critical extensions that are not understood here ({_some(strange)})",
        )  # fmt: skip


def application_objections(one: PeerCertificate, uri: str) -> Iterator[Objection]:
    """Object to the certificate of another application than the server says to be."""
    if uri not in one.application_uris:
        yield Objection(
            "application_uri", one.fingerprint,
            f"it belongs to {_some(one.application_uris, LONGEST_NAME) or 'no application'}, but the server calls itself "
            f"{clean(uri) or 'nothing'}: correct its certificate or its application URI",
        )  # fmt: skip


def host_objections(one: PeerCertificate, host: str) -> Iterator[Objection]:
    """Object to the certificate of another host. host: "" for any."""
    named = one.hosts
    if not host or _plain(host) in {_plain(name) for name in named}:
        return
    rename = f"write {clean(named[0], _LONGEST)} in url, or " if named else ""
    yield Objection(
        "host", one.fingerprint,
        f"it is made for {_some(named) or 'no host'}, not for {host}: {rename}make a right one on the server "
        "(check_host: false accepts any host)",
    )  # fmt: skip


def _usage(one: PeerCertificate) -> x509.KeyUsage | None:
    try:
        return one.readable.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return None


def _extended_usage(one: PeerCertificate) -> x509.ExtendedKeyUsage | None:
    try:
        return one.readable.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return None


def _who(one: PeerCertificate) -> str:
    """Return a holder's name, which is as long as the peer likes, cut short."""
    return clean(one.holder, _LONGEST)


def _some(names: Sequence[str], longest: int = _LONGEST) -> str:
    """Return the first of these names, each cut short."""
    more = [f"{len(names) - _NAMED} more"] if len(names) > _NAMED else []
    return ", ".join([*(clean(name, longest) for name in names[:_NAMED]), *more])


def _plain(host: str) -> str:
    try:
        return str(ip_address(host))
    except ValueError:
        return host.lower().rstrip(".")
