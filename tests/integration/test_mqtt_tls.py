"""TLS as a server sees it: versions, ALPN, SNI; pins and what they say; files that change."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.core.errors import NotConnected
from gateway.sinks.access.certificates import certificate_in
from gateway.sinks.mqtt.client import MqttClient
from gateway.sinks.mqtt.config import MqttConfig
from tests.integration.test_mqtt_codes import Script
from tests.support.mosquitto import Authority, Mosquitto


class TlsServer:
    """A scripted broker with TLS that remembers how it was greeted."""

    def __init__(self, authority: Authority, name: str = "127.0.0.1") -> None:
        self.certificate, key = authority.issue(name)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(self.certificate, key)
        self.context.sni_callback = lambda _sock, name, _context: self.names.append(name)
        self.names: list[str | None] = []
        self.greetings: list[tuple[str | None, str | None]] = []
        self._script = Script()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        greeted = writer.get_extra_info("ssl_object")
        self.greetings.append((greeted.version(), greeted.selected_alpn_protocol()))
        await self._script.serve(reader, writer)

    async def __aenter__(self) -> "TlsServer":
        self._server = await asyncio.start_server(self.serve, "127.0.0.1", 0, ssl=self.context)
        self.url = f"mqtts://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[TlsServer]:
    async with TlsServer(Authority(tmp_path)) as server:
        yield server


async def visit(url: str, **tls: Any) -> MqttClient:
    client = MqttClient(MqttConfig(url=url, tls=tls))
    await client.open()
    await client.close()
    return client


async def refusal(url: str, **tls: Any) -> str:
    with pytest.raises(NotConnected) as caught:
        await visit(url, **tls)
    return str(caught.value)


@pytest.fixture
def ca(tmp_path: Path, server: TlsServer) -> Path:
    return tmp_path / "test-CA.pem"


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
async def test_the_newest_version_that_both_know_and_never_below_1_2(server: TlsServer, ca: Path) -> None:
    await visit(server.url, ca=ca)
    server.context.maximum_version = ssl.TLSVersion.TLSv1_2
    await visit(server.url, ca=ca)
    assert [version for version, _ in server.greetings] == ["TLSv1.3", "TLSv1.2"]
    server.context.minimum_version = ssl.TLSVersion.TLSv1
    server.context.maximum_version = ssl.TLSVersion.TLSv1_1
    assert "TLS" in await refusal(server.url, ca=ca)
    assert len(server.greetings) == 2


async def test_alpn_is_offered_when_it_is_set(server: TlsServer, ca: Path) -> None:
    server.context.set_alpn_protocols(["http/1.1", "mqtt"])
    await visit(server.url, ca=ca, alpn=["mqtt"])
    await visit(server.url, ca=ca)
    assert [protocol for _, protocol in server.greetings] == ["mqtt", None]


async def test_a_server_name_is_asked_for_and_checked(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    async with TlsServer(authority, "broker.plant") as server:
        await visit(server.url, ca=authority.certificate, server_name="broker.plant")
        assert server.names == ["broker.plant"]
        assert "not for '127.0.0.1'" in await refusal(server.url, ca=authority.certificate)
        assert "not for 'other.plant'" in await refusal(server.url, ca=authority.certificate, server_name="other.plant")


@pytest.mark.parametrize("trust", ["ca", "pin alone"])
async def test_a_pin_of_certificate_or_key_lets_in_and_another_says_what_it_saw(
    server: TlsServer, ca: Path, trust: str
) -> None:
    seen = certificate_in("broker", server.certificate)
    assert seen is not None
    base: dict[str, Any] = {"ca": ca} if trust == "ca" else {"insecure": True}
    for pin in (seen.fingerprint, seen.key_fingerprint, ["sha256:" + "0" * 64, seen.key_fingerprint]):
        await visit(server.url, pin=pin, **base)
    text = await refusal(server.url, pin="sha256:" + "0" * 64, **base)
    assert f"seen: public key {seen.key_fingerprint}, certificate {seen.fingerprint}" in text
    assert "mqtt.tls.pin" in text


async def test_a_certificate_that_only_openssl_can_read_is_no_obstacle(
    server: TlsServer, ca: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is known of its end then; a pin of the whole certificate holds all the same."""
    seen = certificate_in("broker", server.certificate)
    assert seen is not None

    def unreadable(der: bytes) -> None:
        raise ValueError("invalid version")

    monkeypatch.setattr("cryptography.x509.load_der_x509_certificate", unreadable)
    client = await visit(server.url, ca=ca)
    assert client.certificates == []
    await visit(server.url, ca=ca, pin=seen.fingerprint)
    assert "public key unreadable" in await refusal(server.url, ca=ca, pin=seen.key_fingerprint)


async def test_a_pin_does_not_replace_the_ca(server: TlsServer) -> None:
    seen = certificate_in("broker", server.certificate)
    assert seen is not None
    assert "not trusted: set mqtt.tls.ca" in await refusal(server.url, pin=seen.fingerprint)


async def test_certificates_are_known_while_connected(mosquitto: str, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    own, key = authority.issue("gw", days=5)
    broker = Mosquitto(mosquitto, tmp_path)
    await broker.start(*authority.tls_lines(days=20, client=True))
    try:
        tls = {"ca": authority.certificate, "cert": own, "key": key}
        client = MqttClient(MqttConfig(url=f"mqtts://127.0.0.1:{broker.port}", tls=tls))
        await client.open()
        known = {certificate.owner: certificate for certificate in client.certificates}
        assert (known["broker"].subject, known["gateway"].subject) == ("CN=127.0.0.1", "CN=gw")
        assert 14.9 < (known["broker"].end_ms - known["gateway"].end_ms) / 86_400_000 < 15.1
        authority.issue("gw", days=60)
        renewed = {certificate.owner: certificate for certificate in client.certificates}["gateway"]
        assert renewed.end_ms > known["gateway"].end_ms, "the file as it is now"
        await client.close()
    finally:
        broker.stop()


async def test_a_renewed_client_certificate_is_used_at_the_next_connect(mosquitto: str, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    own, key = authority.issue("gw", days=-1)
    broker = Mosquitto(mosquitto, tmp_path)
    await broker.start(*authority.tls_lines(client=True))
    try:
        tls = {"ca": authority.certificate, "cert": own, "key": key}
        client = MqttClient(MqttConfig(url=f"mqtts://127.0.0.1:{broker.port}", tls=tls))
        with pytest.raises(NotConnected):
            await client.open()
        authority.issue("gw")
        await client.open()
        await client.close()
    finally:
        broker.stop()
