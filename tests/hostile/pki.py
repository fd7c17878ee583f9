"""OPC UA servers that show hostile certificates, and PKI folders in which somebody has left hostile files.

A real server answers everything but the question for its endpoints, whose one secure endpoint has the certificate.
"""

import asyncio
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import struct_from_binary, struct_to_binary
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from gateway.sources.opcua.security.der import encoded
from tests.hostile.opcua import OpcUaPeer
from tests.support.opcua_secure import certificate, crl, issued
from tests.support.rsa_keys import RSA_KEYS

_SEQUENCE, _SET, _OID, _TEXT, _BITS, _OCTETS, _NUMBER = 0x30, 0x31, 0x06, 0x0C, 0x03, 0x04, 0x02
_ALGORITHM: Final = encoded(_SEQUENCE, bytes.fromhex("06092a864886f70d01010b0500"))
_COMMON_NAME: Final = bytes.fromhex("0603550403")
_VALIDITY: Final = encoded(_SEQUENCE, b"\x17\x0d200101000000Z\x17\x0d490101000000Z")
_AUTHORITY: Final = encoded(
    _SEQUENCE, bytes.fromhex("0603551d13") + b"\x01\x01\xff" + encoded(_OCTETS, bytes.fromhex("30030101ff"))
)
_POLICY: Final = "http://opcfoundation.org/UA/SecurityPolicy#Basic256Sha256"
_CHAIN_BYTES: Final = 60_000
_MIB: Final = 2**20


def _name(text: str, times: int = 1) -> bytes:
    part = encoded(_SET, encoded(_SEQUENCE, _COMMON_NAME + encoded(_TEXT, text.encode())))
    return encoded(_SEQUENCE, part * times)


def _key(bits: int) -> bytes:
    """Return a public RSA key of random numbers, with the largest exponent that OpenSSL takes for it."""
    modulus = b"\x00\xc1" + os.urandom(bits // 8 - 2) + b"\x01"
    numbers = encoded(_SEQUENCE, encoded(_NUMBER, modulus) + encoded(_NUMBER, b"\x00" + b"\xff" * 8))
    return encoded(
        _SEQUENCE, encoded(_SEQUENCE, bytes.fromhex("06092a864886f70d0101010500")) + encoded(_BITS, b"\x00" + numbers)
    )


def _certificate(name: bytes, bits: int = 2048, extensions: bytes = _AUTHORITY, serial: bytes = b"\x01") -> bytes:
    """Return a certificate of its own hand, signed with noise (RFC 5280, 4.1)."""
    signed = bytes.fromhex("a003020102") + encoded(_NUMBER, serial) + _ALGORITHM + name + _VALIDITY + name + _key(bits)
    signed = encoded(_SEQUENCE, signed + encoded(0xA3, encoded(_SEQUENCE, extensions)))
    return encoded(_SEQUENCE, signed + _ALGORITHM + encoded(_BITS, b"\x00\x11" + os.urandom(bits // 8 - 1)))


def _extensions(count: int) -> bytes:
    return b"".join(
        encoded(_SEQUENCE, encoded(_OID, b"\x2a\x81" + bytes((0x80 | n >> 7, n & 0x7F))) + encoded(_OCTETS, b"\x05\x00"))
        for n in range(1, count + 1)
    )


def _nested(depth: int) -> bytes:
    """Return sequences within sequences."""
    content = b""
    for _ in range(depth):
        content = encoded(_SEQUENCE, content)
    return content


def _alternative_names(count: int) -> bytes:
    names = encoded(_SEQUENCE, encoded(0x86, b"urn") * count)
    return encoded(_SEQUENCE, bytes.fromhex("0603551d11") + encoded(_OCTETS, names))


def _small_chain() -> bytes:
    """Certificates of an elliptic curve, each signed by the next."""
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    root = issued(keys[0], "a", None, keys[0], ca=True)
    one = issued(keys[1], "a", root, keys[0], ca=True).public_bytes(Encoding.DER)
    return one * (_CHAIN_BYTES // len(one))


CERTIFICATES: Final[dict[str, Callable[[], bytes]]] = {
    "half a megabyte of certificates": lambda: _certificate(_name("a")) * 600,
    "a chain of small certificates": _small_chain,
    "a chain of eight keys of 16,384 bits": lambda: b"".join(
        _certificate(_name("a"), 16_384, serial=bytes((n,))) for n in range(1, 9)
    ),
    "thousands of extensions": lambda: _certificate(_name("a"), extensions=_extensions(4_000)),
    "thousands of extensions, not strict": lambda: _certificate(_name("a"), extensions=_extensions(4_000), serial=b""),
    "ten thousand alternative names": lambda: _certificate(_name("a"), extensions=_alternative_names(10_000)),
    "a name of three thousand parts": lambda: _certificate(_name("a", 2_000)),
    "sequences in sequences": lambda: _nested(12_000),
    "sequences in an extension": lambda: _certificate(
        _name("a"), extensions=encoded(_SEQUENCE, bytes.fromhex("0603551d11") + encoded(_OCTETS, _nested(10_000)))
    ),
    "thousands of empty parts": lambda: b"\x05\x00" * 30_000,
    "noise": lambda: os.urandom(_CHAIN_BYTES),
}
"""What a server shows."""


def _put(folder: Path, name: str, content: bytes, links: int = 0) -> None:
    """Write a file, and the same one under many other names."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    for number in range(links):
        os.link(path, path.with_name(f"{number}{path.suffix}"))


def _list(size: int, pem: bool = False) -> bytes:
    """Return a revocation list of about this size."""
    key = ec.generate_private_key(ec.SECP256R1())
    authority = issued(key, "a", None, key, ca=True)
    whole = crl(authority, key).public_bytes(Encoding.PEM if pem else Encoding.DER)
    return whole * (size // len(whole)) if pem else whole + bytes(size - len(whole))


def _whole_list(size: int) -> bytes:
    """Return one that can be read: entries without extensions, signed with noise (RFC 5280, 5.1)."""
    entry = encoded(_SEQUENCE, encoded(_NUMBER, b"\x01") + b"\x17\x0d200101000000Z")
    entries = encoded(_SEQUENCE, entry * (size // len(entry)))
    signed = encoded(_SEQUENCE, b"\x02\x01\x01" + _ALGORITHM + _name("a") + b"\x17\x0d200101000000Z" + entries)
    return encoded(_SEQUENCE, signed + _ALGORITHM + encoded(_BITS, b"\x00" + os.urandom(256)))


def _some() -> bytes:
    return certificate(RSA_KEYS[0]).public_bytes(Encoding.DER)


FOLDERS: Final[dict[str, Callable[[Path], None]]] = {
    "a revocation list of 100 MB": lambda pki: _put(pki, "trusted/crl/a.crl", _list(100 * _MIB)),
    "100 revocation lists of 4 MB": lambda pki: _put(pki, "trusted/crl/a.crl", _whole_list(4 * _MIB - 1_000), 99),
    "a file of thousands of revocation lists": lambda pki: _put(pki, "issuers/crl/a.pem", _list(4 * _MIB - 1_000, pem=True)),
    "50,000 certificates": lambda pki: _put(pki, "trusted/certs/a.der", _some(), 50_000),
    "5,000 revocation lists": lambda pki: _put(pki, "issuers/crl/a.crl", _whole_list(500), 5_000),
    "20,000 refused certificates": lambda pki: _put(pki, "rejected/a.der", _some(), 20_000),
    "a certificate of 4 MB": lambda pki: _put(pki, "trusted/certs/a.der", _some() + bytes(4 * _MIB - 5_000)),
}
"""What lies in the PKI folder while a server shows a good certificate."""


class CertificatePeer(OpcUaPeer):
    """One server; it shows no certificate until it attacks."""

    def __init__(
        self, folder: Path, what: str, make: Callable[[], bytes], fill: Callable[[Path], None] | None = None
    ) -> None:
        super().__init__(folder, encoded=lambda name, body: _put_endpoint(self._shown, name, body))
        self._make, self._fill = make, fill
        self._shown = b""
        self._pki = folder / f"pki {what}"

    async def attack(self, on: bool) -> None:
        """Show the certificate; the folder is filled for as long as that."""
        if on:
            self._shown = self._shown or self._make()
            if self._fill is not None:
                await asyncio.to_thread(self._fill, self._pki)
        await super().attack(on)
        if not on:
            await asyncio.to_thread(shutil.rmtree, self._pki, ignore_errors=True)

    def device(self) -> str:
        """Return its device file."""
        return (
            f"protocol: opcua\nurl: {self._mangler.url}\nsecurity: Basic256Sha256\npki: {self._pki}\n"
            "tags:\n  - {name: t, node: 'ns=2;s=v0'}\n"
        )


def _put_endpoint(shown: bytes, name: str, body: bytes) -> bytes:
    if name != "GetEndpointsResponse":
        return body
    answer = struct_from_binary(ua.GetEndpointsResponse, Buffer(body))
    one = ua.EndpointDescription(EndpointUrl="opc.tcp://127.0.0.1", ServerCertificate=shown, SecurityPolicyUri=_POLICY)
    one.SecurityMode = ua.MessageSecurityMode.SignAndEncrypt
    one.Server = ua.ApplicationDescription(ApplicationUri="urn:test:server")
    one.UserIdentityTokens = [ua.UserTokenPolicy(PolicyId="a", TokenType=ua.UserTokenType.Anonymous)]
    answer.Endpoints = [one]
    return bytes(struct_to_binary(answer))


def _rows() -> Iterator[tuple[str, Callable[[Path], CertificatePeer]]]:
    for what, make in CERTIFICATES.items():
        yield f"shown: {what}", lambda folder, what=what, make=make: CertificatePeer(folder, what, make)
    for what, fill in FOLDERS.items():
        yield f"kept: {what}", lambda folder, what=what, fill=fill: CertificatePeer(folder, what, _some, fill)


PEERS: Final = dict(_rows())
"""By what they do."""
