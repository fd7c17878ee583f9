"""Certificates of servers and authorities, read as far as they can be read. Pure.

Controllers write certificates that are not strict DER, which a library rightly refuses whole. Trust is by fingerprint, and
a fingerprint needs no reading: a part that cannot be read costs that part only. The original bytes are fingerprinted, shown
to the server again and signed; what is read comes from a copy in which unreadable parts are missing.
"""

import base64
import hashlib
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.utils import CryptographyDeprecationWarning

from gateway.sources.opcua.security.der import NotDer, element, elements, encoded

# Of parsed certificates (a serial number of 0, a NULL too many), which are no worse for it: no line of Python in a log.
warnings.filterwarnings("ignore", "(?i).*parsed", CryptographyDeprecationWarning)
# Servers make certificates with an empty country (Milo does).
warnings.filterwarnings("ignore", "Attribute's length must be", UserWarning)

MOST_BYTES: Final = 65_536
"""Of a certificate or of what a server sends as its chain; the largest seen has 2.5 kB."""
LONGEST_CHAIN: Final = 8
MOST_EXTENSIONS: Final = 64
"""Of those behind them nothing is read, where a certificate must be read part by part."""
_PEM: Final = re.compile(rb"-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----([^-]*)-----END")
_UNREADABLE: Final = (ValueError, TypeError, UnsupportedAlgorithm, x509.DuplicateExtension, x509.InvalidVersion)
_SEQUENCE, _BIT_STRING, _BOOLEAN, _OCTETS, _EXTENSIONS = 0x30, 0x03, 0x01, 0x04, 0xA3
_VERSION_3: Final = bytes.fromhex("a003020102")
_SIGNATURE: Final = bytes.fromhex("300d06092a864886f70d01010b0500")
"""sha256WithRSAEncryption: the copy is never verified."""
_DEFAULTS: Final = {
    "serial number": bytes.fromhex("020101"),
    "issuer": bytes.fromhex("3000"),
    "validity": encoded(_SEQUENCE, b"\x17\x0d500101000000Z\x18\x0f99991231235959Z"),
    "subject": bytes.fromhex("3000"),
}


@dataclass(frozen=True)
class PeerCertificate:
    """One certificate.

    der: as it came; readable: what can be read of it; lost: the names of the parts that cannot.
    """

    der: bytes
    readable: x509.Certificate
    lost: tuple[str, ...] = ()

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 in hexadecimal: 64 digits."""
        return hashlib.sha256(self.der).hexdigest()

    @cached_property
    def public_key(self) -> CertificatePublicKeyTypes:
        """Return its key."""
        return self.readable.public_key()

    @cached_property
    def holder(self) -> str:
        """Whose it is: the parts of its subject that are not empty, as in RFC 4514."""
        return x509.Name(part for part in self.readable.subject if part.value).rfc4514_string()

    @cached_property
    def application_uris(self) -> list[str]:
        """URIs among the alternative names; a certificate should have just one."""
        names = self._alternative_names
        return names.get_values_for_type(x509.UniformResourceIdentifier) if names else []

    @cached_property
    def hosts(self) -> list[str]:
        """Host names and addresses among the alternative names."""
        names = self._alternative_names
        if names is None:
            return []
        return [*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))]

    @property
    def _alternative_names(self) -> x509.SubjectAlternativeName | None:
        try:
            return self.readable.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound:
            return None


def read_certificate(content: bytes) -> PeerCertificate:
    """Read PEM or DER. Raises ValueError."""
    if b"-----BEGIN" not in content:
        return read_der(content)
    block = _PEM.search(content)
    if block is None:
        raise ValueError("is PEM without a certificate")
    return read_der(base64.b64decode(block[1]))


def read_der(der: bytes) -> PeerCertificate:
    """Read one certificate. Raises ValueError where it is none, or has no key that can be read."""
    if len(der) > MOST_BYTES:
        raise ValueError(f"is longer than {MOST_BYTES} bytes")
    try:
        whole = x509.load_der_x509_certificate(der)
        if not _is_readable(whole):
            return _repaired(der)
    except _UNREADABLE:
        return _repaired(der)
    return PeerCertificate(der, whole)


def read_chain(content: bytes) -> list[PeerCertificate]:
    """Read a certificate and the issuers behind it, one after the other (Part 6, 6.2.6). Raises ValueError.

    Issuers that cannot be read are left out: they vouch for nothing.
    """
    if len(content) > MOST_BYTES:
        raise ValueError(f"is longer than {MOST_BYTES} bytes")
    try:
        parts = [whole for _, _, whole in elements(content)]
    except NotDer:
        raise ValueError("is not a certificate, or was cut short") from None
    if len(parts) > LONGEST_CHAIN:
        raise ValueError(f"is a chain of more than {LONGEST_CHAIN} certificates")
    return [read_der(part) for part in parts[:1]] + list(_readable(parts[1:]))


def _readable(parts: list[bytes]) -> Iterator[PeerCertificate]:
    for part in parts:
        try:
            yield read_der(part)
        except ValueError:
            continue


def _is_readable(certificate: x509.Certificate) -> bool:
    """Touch all that is used: the library reads most parts only when they are asked for."""
    return bool(certificate.public_key() and certificate.subject is not None and certificate.issuer is not None) and (
        certificate.extensions is not None and certificate.not_valid_before_utc <= certificate.not_valid_after_utc
    )


def _repaired(der: bytes) -> PeerCertificate:
    """Read part by part, each in a certificate of its own beside harmless others. Raises ValueError."""
    try:
        fields, extensions = _fields(der)
        key = fields.pop("key")
    except NotDer:
        raise ValueError("is not a certificate") from None
    parts = dict(_DEFAULTS)
    if not _can_be_read(_assembled(parts, key, []), lambda copy: copy.public_key()):
        raise ValueError("has no public key that can be read")
    lost = []
    for name, content in fields.items():
        if _can_be_read(_assembled({**parts, name: content}, key, []), _is_readable):
            parts[name] = content
        else:
            lost.append(name)
    kept: dict[str, bytes] = {}
    for extension in extensions[:MOST_EXTENSIONS]:
        name = _extension_name(extension)
        if name not in kept and _can_be_read(_assembled(parts, key, [extension]), _is_readable):
            kept[name] = extension
        else:
            lost.append(name)
    readable = x509.load_der_x509_certificate(_assembled(parts, key, list(kept.values())))
    return PeerCertificate(der, readable, tuple(lost))


def _fields(der: bytes) -> tuple[dict[str, bytes], list[bytes]]:
    """Return serial number, issuer, validity, subject and key of a certificate (RFC 5280, 4.1), and its extensions."""
    _, content, _ = element(der)
    _, signed, _ = element(content)
    parts = list(elements(signed))
    if parts and parts[0][0] == _VERSION_3[0]:
        parts = parts[1:]
    if len(parts) < len(_DEFAULTS) + 2:
        raise NotDer
    serial, _, issuer, validity, subject, key = (whole for _, _, whole in parts[:6])
    found: list[bytes] = []
    for tag, inner, _ in parts[6:]:
        if tag == _EXTENSIONS:
            try:
                found = [_strict(one) for _, one, _ in elements(element(inner)[1])]
            except NotDer:  # without the list there is no extension
                found = []
    return {"serial number": serial, "issuer": issuer, "validity": validity, "subject": subject, "key": key}, found


def _strict(extension: bytes) -> bytes:
    """Write an extension (RFC 5280, 4.2) anew: FALSE, the default of `critical`, is left out, and TRUE is FF (X.690, 11)."""
    parts = list(elements(extension))
    if not parts:
        raise NotDer
    critical = any(tag == _BOOLEAN and any(content) for tag, content, _ in parts[1:])
    value = next((whole for tag, _, whole in parts[1:] if tag == _OCTETS), b"")
    flag = encoded(_BOOLEAN, b"\xff") if critical else b""
    return encoded(_SEQUENCE, parts[0][2] + flag + value)


def _assembled(parts: dict[str, bytes], key: bytes, extensions: list[bytes]) -> bytes:
    head = _VERSION_3 + parts["serial number"] + _SIGNATURE + parts["issuer"] + parts["validity"] + parts["subject"] + key
    listed = encoded(_EXTENSIONS, encoded(_SEQUENCE, b"".join(extensions))) if extensions else b""
    return encoded(_SEQUENCE, encoded(_SEQUENCE, head + listed) + _SIGNATURE + encoded(_BIT_STRING, b"\x00"))


def _can_be_read(der: bytes, touch: Callable[[x509.Certificate], object]) -> bool:
    try:
        return bool(touch(x509.load_der_x509_certificate(der)))
    except _UNREADABLE:
        return False


_NAMES: Final = {
    bytes.fromhex("0603551d11"): "subjectAltName",
    bytes.fromhex("0603551d13"): "basicConstraints",
    bytes.fromhex("0603551d0f"): "keyUsage",
    bytes.fromhex("0603551d25"): "extendedKeyUsage",
    bytes.fromhex("0603551d0e"): "subjectKeyIdentifier",
    bytes.fromhex("0603551d23"): "authorityKeyIdentifier",
}


def _extension_name(extension: bytes) -> str:
    oid = element(element(extension)[1])[2]
    return _NAMES.get(oid, f"extension {oid[2:].hex()}")
