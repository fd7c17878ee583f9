"""The gateway's own application instance certificate (OPC UA Part 6, 6.2.2). Pure but for randomness."""

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


def application_uris(certificate: x509.Certificate) -> list[str]:
    """Return the URIs among the alternative names of an own certificate."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return []
    return names.get_values_for_type(x509.UniformResourceIdentifier)


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 in hexadecimal: 64 digits."""
    return certificate.fingerprint(hashes.SHA256()).hex()
