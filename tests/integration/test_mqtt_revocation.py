"""Revoked brokers: lists of the authority in a file, and answers of its OCSP responder that the broker staples."""

import asyncio
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.core.errors import NotConnected
from gateway.sinks.mqtt.address import parse_address
from gateway.sinks.mqtt.client import MqttClient
from gateway.sinks.mqtt.config import MqttConfig, MqttTls
from gateway.sinks.mqtt.staple import Staple, fetch_staple
from tests.support.mosquitto import Authority, Mosquitto
from tests.support.network import free_port
from tests.support.proxies import http_proxy
from tests.support.stapling_proxy import StaplingProxy

DAY = timedelta(days=1)


async def visit(port: int, **tls: Any) -> None:
    client = MqttClient(MqttConfig(url=f"mqtts://127.0.0.1:{port}", tls=tls))
    await client.open()
    await client.close()


async def refusal(port: int, **tls: Any) -> str:
    with pytest.raises(NotConnected) as caught:
        await visit(port, **tls)
    return str(caught.value)


async def fetched(port: int) -> Staple:
    """What a server staples, once it listens."""

    def dial() -> socket.socket:
        return socket.create_connection(("127.0.0.1", port), 5.0)

    address = parse_address(f"mqtts://127.0.0.1:{port}")
    async with asyncio.timeout(10):
        while True:
            try:
                return await asyncio.to_thread(fetch_staple, dial, address, MqttTls(), 5.0)
            except ConnectionRefusedError:
                await asyncio.sleep(0.02)


@pytest.fixture
async def broker(mosquitto: str, tmp_path: Path) -> AsyncIterator[Mosquitto]:
    broker = Mosquitto(mosquitto, tmp_path)
    yield broker
    broker.stop()


async def test_a_list_of_the_authority_decides_and_must_be_current(broker: Mosquitto, tmp_path: Path) -> None:
    """mosquitto's certificate: on no list, on a list, on a list that has expired; the list of somebody else."""
    authority, other = Authority(tmp_path), Authority(tmp_path, "other CA")
    await broker.start(*authority.tls_lines())
    tls = {"ca": authority.certificate, "crl": tmp_path / "list.pem"}
    authority.revoke([], tls["crl"])
    await visit(broker.port, **tls)
    authority.revoke(["127.0.0.1"], tls["crl"])
    assert "its authority has revoked the broker's certificate" in await refusal(broker.port, **tls)
    authority.revoke([], tls["crl"], age=30 * DAY)
    assert "the revocation list in mqtt.tls.crl has expired" in await refusal(broker.port, **tls)
    other.revoke([], tls["crl"])
    assert "no revocation list of the authority in mqtt.tls.crl" in await refusal(broker.port, **tls)
    tls["crl"].write_text("no list")
    assert "mqtt.tls.crl" in await refusal(broker.port, **tls)


async def test_every_authority_needs_a_list_unless_only_the_broker_is_checked(broker: Mosquitto, tmp_path: Path) -> None:
    root = Authority(tmp_path)
    middle = root.below("middle CA")
    await broker.start(*middle.tls_lines())
    tls = {"ca": root.certificate, "crl": tmp_path / "list.pem"}
    middle.revoke([], tls["crl"])
    assert "no revocation list of the authority" in await refusal(broker.port, **tls)
    await visit(broker.port, **tls, crl_check="leaf")
    tls["crl"].write_bytes(tls["crl"].read_bytes() + root.revoke([], tmp_path / "root.crl").read_bytes())
    await visit(broker.port, **tls)
    root.revoke(["middle CA"], tls["crl"])
    middle.revoke([], tmp_path / "middle.crl")
    tls["crl"].write_bytes(tls["crl"].read_bytes() + (tmp_path / "middle.crl").read_bytes())
    assert "has revoked" in await refusal(broker.port, **tls)


async def test_a_broker_must_staple_a_current_answer_that_it_is_good(broker: Mosquitto, tmp_path: Path) -> None:
    authority, other = Authority(tmp_path), Authority(tmp_path, "other CA")
    certificate, key = authority.issue("127.0.0.1")
    await broker.start()
    now = datetime.now(UTC)
    answers = {
        "": authority.ocsp("127.0.0.1"),
        "the broker staples no OCSP answer": b"",
        "its OCSP answer cannot be read": b"0\x03\x0a\x01\x00",
        "its authority has revoked it": authority.ocsp("127.0.0.1", revoked=True),
        "its OCSP answer has expired": authority.ocsp("127.0.0.1", made=now - 3 * DAY),
        "its OCSP answer is from the future": authority.ocsp("127.0.0.1", made=now + DAY),
        "its OCSP answer is not signed by its authority": authority.ocsp("127.0.0.1", signer=other),
    }
    tls = {"ca": authority.certificate, "ocsp": "stapled"}
    with StaplingProxy(broker.port, certificate, key, b"") as proxy:
        for reason, answer in answers.items():
            proxy.answer = answer
            if reason:
                text = await refusal(proxy.port, **tls)
                assert f"as mqtt.tls.ocsp asks: {reason}" in text
            else:
                await visit(proxy.port, **tls)
        proxy.answer = b""
        asked = proxy.asked
        await visit(proxy.port, ca=authority.certificate)
        assert proxy.asked == asked, "without the setting nothing is asked"


async def test_a_responder_that_the_authority_has_named_may_sign(broker: Mosquitto, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.issue("127.0.0.1")
    await broker.start()
    tls = {"ca": authority.certificate, "ocsp": "stapled"}
    with StaplingProxy(broker.port, certificate, key, authority.ocsp("127.0.0.1", responder=True)) as proxy:
        await visit(proxy.port, **tls)
        proxy.answer = authority.ocsp("127.0.0.1", responder=True, usage=False)
        assert "not signed by its authority" in await refusal(proxy.port, **tls)


async def test_a_stapled_answer_is_fetched_through_the_proxy_of_the_broker(broker: Mosquitto, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.issue("127.0.0.1")
    await broker.start()
    answer = authority.ocsp("127.0.0.1")
    with StaplingProxy(broker.port, certificate, key, answer) as stapling:
        async with http_proxy(tmp_path) as (url, log):
            tls = {"ca": authority.certificate, "ocsp": "stapled"}
            config = MqttConfig(url=f"mqtts://127.0.0.1:{stapling.port}", tls=tls, proxy={"url": url})
            client = MqttClient(config)
            await client.open()
            await client.close()
            assert log.read_text().count(f"CONNECT 127.0.0.1:{stapling.port}") == 2


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
async def test_openssl_staples_the_same(tmp_path: Path) -> None:
    """`openssl s_server -status_file`, with TLS 1.3 and 1.2."""
    authority = Authority(tmp_path)
    certificate, key = authority.issue("127.0.0.1")
    answer = tmp_path / "answer.der"
    answer.write_bytes(authority.ocsp("127.0.0.1"))
    for version in ("-tls1_3", "-tls1_2"):
        port = free_port()
        words = ["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-cert", str(certificate), "-key", str(key), version]
        with subprocess.Popen([*words, "-status_file", str(answer), "-quiet"], stdin=subprocess.PIPE) as server:
            try:
                staple = await fetched(port)
            finally:
                server.kill()
        assert staple.answer == answer.read_bytes()
        assert [one.subject.rfc4514_string() for one in staple.chain] == ["CN=127.0.0.1"]
