"""Certificates as real controllers make them: not strict, expired, made for another host. Trust is by fingerprint."""

import base64
from dataclasses import dataclass

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from gateway.sources.opcua.security.certificates import der, fingerprint
from gateway.sources.opcua.security.peer_certificate import read_certificate, read_der
from gateway.sources.opcua.security.pki import Pki
from tests.support.network import free_port
from tests.support.opcua_secure import BASIC, DAY, KEY, SecureServer, certificate, refusal, value
from tests.support.opcua_server import NodeServer
from tests.unit.sources.opcua.test_peer_certificate import BASIC_CONSTRAINTS, FALSE, with_extension


@dataclass
class AsWritten:
    """A certificate for asyncua's server, which would not read it itself."""

    content: bytes

    def public_bytes(self, encoding: Encoding) -> bytes:
        """As it goes out."""
        assert encoding is Encoding.DER
        return self.content


def shows(server: SecureServer, content: bytes) -> None:
    """Let a running server show these bytes as its certificate, on the channel and in its endpoints."""
    for endpoint in server._server.iserver.endpoints:
        endpoint.ServerCertificate = content
    for policy in server._server.bserver._policies:
        policy.certificate = AsWritten(content)


@pytest.mark.parametrize(
    ("value_hex", "critical", "lost"),
    [("3000", FALSE, ""), ("3000", b"\x01\x01\x01", ""), ("3006010100020100", b"", "basicConstraints")],
    ids=["critical FALSE", "critical 1", "CA FALSE with path length"],
)
async def test_a_certificate_that_is_not_strict_is_trusted_by_its_fingerprint(tmp_path, port, value_hex, critical, lost):
    content = with_extension(BASIC_CONSTRAINTS, value_hex, critical, der(certificate(KEY)))
    pki = Pki(tmp_path / "pki")
    async with SecureServer(port, tmp_path, BASIC, key=KEY) as server:
        shows(server, content)
        text = await refusal(server, pki=str(pki.folder))
        assert f"gateway cert trust {read_der(content).fingerprint}" in text
        assert (f"of it cannot be read: {lost}" in text) == bool(lost)
        assert "made for no host" not in text
        pki.trust(pki.listed("rejected")[0].certificate)
        assert await value(server, pki=str(pki.folder)) == 42
        assert await value(server, pki=str(pki.folder), username="me", password="secret") == 42


async def test_all_that_is_wrong_is_said_at_once_and_accepted_for_this_certificate_only(tmp_path, port):
    old = certificate(KEY, "urn:plc", host="plc", age=30 * DAY, valid=10 * DAY)
    pki = Pki(tmp_path / "pki")
    device = {"pki": str(pki.folder)}
    async with SecureServer(port, tmp_path, BASIC, key=KEY, one=old) as server:
        text = await refusal(server, **device)
        accept = [{"certificate": fingerprint(old), "although": ["expired", "application_uri", "host"]}]
        assert f"gateway cert trust {fingerprint(old)}" in text
        assert f"accept: [{{certificate: {fingerprint(old)}, although: [expired, application_uri, host]}}]" in text
        pki.trust(pki.listed("rejected")[0].certificate)
        assert "although: [expired, application_uri, host]" in await refusal(server, **device)
        assert await value(server, **device, accept=accept) == 42
    renewed = certificate(KEY, "urn:plc", host="plc")
    async with SecureServer(port, tmp_path, BASIC, key=KEY, one=renewed) as server:
        assert "is not trusted" in await refusal(server, **device, accept=accept)


async def test_a_foreign_server_with_such_a_certificate_is_trusted_and_takes_passwords(tmp_path, node):
    """node-opcua, which finds its certificate as a controller would have written it."""
    folder = tmp_path / "server"
    async with NodeServer(node, free_port(), folder, script="opcua_secure_server.js"):
        pass  # it makes key and certificate
    file = folder / "server" / "own" / "certs" / "certificate.pem"
    strict = read_certificate(file.read_bytes()).der
    content = with_extension(BASIC_CONSTRAINTS, "3006010100020100", FALSE, strict)
    file.write_bytes(b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(content) + b"-----END CERTIFICATE-----\n")
    pki = Pki(tmp_path / "pki")
    login = {"username": "me", "password": "secret", "pki": str(pki.folder), "check_host": False}
    async with NodeServer(node, free_port(), folder, script="opcua_secure_server.js") as server:
        text = await refusal(server, **login)
        assert f"gateway cert trust {read_der(content).fingerprint}" in text
        assert "of it cannot be read: basicConstraints" in text
        pki.trust(pki.listed("rejected")[0].certificate)
        for security in ("auto", "Basic256Sha256", "none"):
            assert await value(server, ["ns=1;s=v0"], **login, security=security) == 42
