"""Application instance certificates (OPC UA Part 6, 6.2.2): made, read and described. Pure but for randomness."""

import warnings
from datetime import datetime, timedelta
from ipaddress import ip_address
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

KEY_BITS: Final = 2048
"""Taken by every policy of Part 7, SHA-1 ones included."""
VALID: Final = timedelta(days=5 * 365)
_BACKDATED: Final = timedelta(days=1)
_SEQUENCE: Final = 0x30

# Servers make certificates with an empty country (Milo does), which are no worse for it: no line of Python in a log.
warnings.filterwarnings("ignore", "Attribute's length must be", UserWarning)


def make_key() -> rsa.RSAPrivateKey:
    """Make a new RSA key."""
    return rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)


def make_certificate(
    key: rsa.RSAPrivateKey, uri: str, host: str, now: datetime, valid: timedelta = VALID
) -> x509.Certificate:
    """Self-signed, with application URI and host in the alternative names; valid from a day ago (clocks differ)."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"gateway on {host}"[:64])])
    names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri), _host_name(host)])
    usage = x509.KeyUsage(
        digital_signature=True, content_commitment=True, key_encipherment=True, data_encipherment=True,
        key_agreement=False, key_cert_sign=True, crl_sign=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    extended = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH])
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + valid)
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(extended, critical=False)
        .add_extension(identifier, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _host_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def der(certificate: x509.Certificate) -> bytes:
    """As it travels."""
    return certificate.public_bytes(serialization.Encoding.DER)


def load_certificate(content: bytes) -> x509.Certificate:
    """PEM or DER. Raises ValueError."""
    if b"-----BEGIN" in content:
        return x509.load_pem_x509_certificate(content)
    return x509.load_der_x509_certificate(content)


def load_chain(content: bytes) -> list[x509.Certificate]:
    """Load a certificate and the issuers behind it, in DER one after the other (Part 6, 6.2.6). Raises ValueError."""
    chain = []
    while content:
        if content[0] != _SEQUENCE or len(content) < 2:
            raise ValueError("not a certificate")
        length, header = content[1], 2
        if length & 0x80:
            header += length & 0x7F
            length = int.from_bytes(content[2:header], "big")
        chain.append(x509.load_der_x509_certificate(content[: header + length]))
        content = content[header + length :]
    return chain


def holder(certificate: x509.Certificate) -> str:
    """Whose it is: the parts of its subject that are not empty, as in RFC 4514."""
    return x509.Name(part for part in certificate.subject if part.value).rfc4514_string()


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 in hexadecimal: 64 digits."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def application_uris(certificate: x509.Certificate) -> list[str]:
    """URIs among the alternative names; a certificate should have just one."""
    names = _alternative_names(certificate)
    return names.get_values_for_type(x509.UniformResourceIdentifier) if names else []


def hosts(certificate: x509.Certificate) -> list[str]:
    """Host names and addresses among the alternative names."""
    names = _alternative_names(certificate)
    if names is None:
        return []
    return [*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))]


def _alternative_names(certificate: x509.Certificate) -> x509.SubjectAlternativeName | None:
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return None
