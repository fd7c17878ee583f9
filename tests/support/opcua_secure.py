"""Certificates made on the spot, and an asyncua server that wants security."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import pytest
from asyncua import Server, ua
from asyncua.crypto.permission_rules import User, UserRole
from asyncua.server.user_managers import UserManager
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.x509.oid import NameOID

from gateway.core.errors import NotConnected
from gateway.sources.opcua.security.certificates import der, fingerprint, make_certificate
from gateway.sources.opcua.security.peer_certificate import PeerCertificate, read_der
from tests.support.opcua_reader import make_source, reading
from tests.support.rsa_keys import RSA_KEYS

URI = "urn:test:server"
DAY = timedelta(days=1)
P = ua.SecurityPolicyType
BASIC = [P.Basic256Sha256_SignAndEncrypt]
NODE: list[str | dict[str, object]] = ["ns=2;s=v0"]


def certificate(
    key: rsa.RSAPrivateKey,
    uri: str = URI,
    host: str = "127.0.0.1",
    *,
    age: timedelta = timedelta(),
    valid: timedelta = 100 * DAY,
) -> x509.Certificate:
    """Self-signed; made `age` ago."""
    return make_certificate(key, uri, host, datetime.now(UTC) - age, valid)


def issued(
    key: Any,
    name: str,
    issuer: x509.Certificate | None,
    issuer_key: Any,
    *,
    ca: bool = False,
    path_length: int | None = None,
    age: timedelta = DAY,
    more: Sequence[tuple[x509.ExtensionType, bool]] = (),
) -> x509.Certificate:
    """A certificate from an authority (without issuer, an authority). more: extensions, and whether they are critical."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    begin = datetime.now(UTC) - age
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + 101 * DAY)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=path_length), critical=True)
    )
    if not ca:
        names = [x509.UniformResourceIdentifier(URI), x509.DNSName("127.0.0.1")]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    for extension, critical in more:
        builder = builder.add_extension(extension, critical)
    return builder.sign(issuer_key, _hash_for(issuer_key))


def crl(
    issuer: x509.Certificate,
    key: Any,
    revoked: Sequence[x509.Certificate] = (),
    *,
    age: timedelta = timedelta(),
    more: Sequence[tuple[x509.ExtensionType, bool]] = (),
) -> x509.CertificateRevocationList:
    """A revocation list of one day, made `age` ago."""
    made = datetime.now(UTC) - age
    builder = x509.CertificateRevocationListBuilder().issuer_name(issuer.subject).last_update(made).next_update(made + DAY)
    for one in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(one.serial_number).revocation_date(made).build()
        builder = builder.add_revoked_certificate(entry)
    for extension, critical in more:
        builder = builder.add_extension(extension, critical)
    return builder.sign(key, _hash_for(key))


def _hash_for(key: Any) -> hashes.SHA256 | None:
    return None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()


def peer(one: x509.Certificate) -> PeerCertificate:
    """As the other side reads it."""
    return read_der(der(one))


def write_pair(folder: Path, name: str, one: x509.Certificate, key: rsa.RSAPrivateKey) -> tuple[Path, Path]:
    """DER certificate and PEM key."""
    plain = serialization.NoEncryption()
    paths = folder / f"{name}.der", folder / f"{name}.pem"
    paths[0].write_bytes(der(one))
    paths[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    return paths


class _Users(UserManager):
    """me/secret, one X.509 certificate, and anonymous if allowed."""

    def __init__(self, user: x509.Certificate | None, anonymous: bool) -> None:
        self._user = user
        self._anonymous = anonymous

    def get_user(self, iserver: Any, username: Any = None, password: Any = None, certificate: Any = None) -> Any:
        if username is not None:
            return User(role=UserRole.User) if (username, password) == ("me", "secret") else None
        if self._user is not None and certificate == der(self._user):
            return User(role=UserRole.User)
        return User(role=UserRole.User) if self._anonymous else None


class SecureServer:
    """asyncua's server with policies, a certificate and ns=2;s=v0 = 42. `async with SecureServer(...) as server`."""

    def __init__(
        self,
        port: int,
        folder: Path,
        policies: Sequence[Any],
        *,
        key: rsa.RSAPrivateKey,
        one: x509.Certificate | None = None,
        user: x509.Certificate | None = None,
        anonymous: bool = True,
    ) -> None:
        self.url = f"opc.tcp://127.0.0.1:{port}"
        self.certificate = one or certificate(key)
        self.fingerprint = fingerprint(self.certificate)
        self._files = write_pair(folder, f"server-{port}", self.certificate, key)
        self._policies = list(policies)
        self._users = _Users(user, anonymous)
        self._server: Server | None = None

    async def __aenter__(self) -> Self:
        server = Server(user_manager=self._users)
        await server.init()
        server.set_endpoint(self.url)
        await server.set_application_uri(URI)
        server.set_security_policy(self._policies)
        await server.load_certificate(self._files[0])
        await server.load_private_key(self._files[1])
        index = await server.register_namespace("urn:gateway:test")
        await server.nodes.objects.add_variable(ua.NodeId("v0", index), "v0", 42.0)
        await server.start()
        self._server = server
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        await self._server.stop()


KEY, CA_KEY = RSA_KEYS[:2]


async def refusal(server: Any, **device: Any) -> str:
    """Why a device of this configuration is not connected to the server."""
    source = make_source(server.url, NODE, **{"security": "auto", **device})
    with pytest.raises(NotConnected) as raised:
        await source.open()
    await source.close()
    return str(raised.value)


async def value(server: Any, nodes: list[str | dict[str, object]] = NODE, **device: Any) -> float:
    """What a device of this configuration reads from the server. server: what has a url."""
    async with reading(server.url, nodes, **{"security": "auto", **device}) as reader:
        await reader.until(lambda: reader.seen(1))
        return reader.values[0][0]
