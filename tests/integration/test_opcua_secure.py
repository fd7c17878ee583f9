"""Security against asyncua's server: policies, users, trust, refusals with advice."""

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta

import pytest
from typer.testing import CliRunner

from gateway.cli.main import app
from gateway.core.errors import NotConnected
from gateway.sources.opcua.client import handshake as session
from gateway.sources.opcua.security.pki import Pki
from tests.support.network import free_port
from tests.support.opcua_reader import make_source
from tests.support.opcua_secure import BASIC, KEY, NODE, P, SecureServer, certificate, peer, refusal, value, write_pair


def trusting(tmp_path, *servers) -> str:
    pki = Pki(tmp_path / "pki")
    for server in servers:
        pki.trust(peer(server.certificate))
    return str(pki.folder)


@pytest.mark.parametrize("mode", ["Sign", "SignAndEncrypt"])
@pytest.mark.parametrize(
    ("security", "offered"),
    [
        ("Basic256Sha256", "Basic256Sha256"),
        ("Aes128_Sha256_RsaOaep", "Aes128Sha256RsaOaep"),
        ("Aes256_Sha256_RsaPss", "Aes256Sha256RsaPss"),
        ("auto", "Aes128Sha256RsaOaep"),
    ],
)
async def test_every_policy_and_mode_delivers(tmp_path, port, security, mode, offered):
    async with SecureServer(port, tmp_path, [P[f"{offered}_{mode}"]], key=KEY) as server:
        device = {"security": security, "security_mode": mode, "pki": trusting(tmp_path, server)}
        assert await value(server, **device) == 42
        assert await value(server, **device, username="me", password="secret") == 42


async def test_a_user_certificate_logs_in_and_another_does_not(tmp_path, port):
    user = certificate(KEY, "urn:user")
    path, key = write_pair(tmp_path, "user", user, KEY)
    other, _ = write_pair(tmp_path, "other", certificate(KEY, "urn:other"), KEY)
    async with SecureServer(port, tmp_path, BASIC, key=KEY, user=user, anonymous=False) as server:
        pki = trusting(tmp_path, server)
        assert await value(server, pki=pki, user_certificate=str(path), user_key=str(key)) == 42
        stranger = await refusal(server, pki=pki, user_certificate=str(other), user_key=str(key))
        assert f"the server refuses the user's certificate {other}: BadUserAccessDenied" in stranger
        wrong = await refusal(server, pki=pki, username="me", password="hunter2")
        assert "the server refuses the user 'me': BadUserAccessDenied: check username and password" in wrong
        assert "hunter2" not in wrong


async def test_an_unknown_server_is_refused_and_the_command_it_names_trusts_it(tmp_path, port):
    pki = str(tmp_path / "pki")
    async with SecureServer(port, tmp_path, BASIC, key=KEY) as server:
        text = await refusal(server, pki=pki)
        command = f"gateway cert trust {server.fingerprint} --pki {pki}"
        assert command in text
        assert [entry.certificate.fingerprint for entry in Pki(pki).listed("rejected")] == [server.fingerprint]
        assert CliRunner().invoke(app, command.split()[1:]).exit_code == 0
        assert Pki(pki).listed("rejected") == []
        assert await value(server, pki=pki) == 42


async def test_a_swapped_certificate_is_refused_and_the_old_one_named(tmp_path, port):
    async with SecureServer(port, tmp_path, BASIC, key=KEY) as server:
        pki = trusting(tmp_path, server)
    async with SecureServer(port, tmp_path, BASIC, key=KEY, one=certificate(KEY)) as swapped:
        text = await refusal(swapped, pki=pki)
    assert swapped.fingerprint in text
    assert f"was trusted ({server.fingerprint[:16]}...)" in text


@pytest.mark.parametrize(
    ("one", "word"),
    [
        (certificate(KEY, age=timedelta(days=30), valid=timedelta(days=10)), "expired on"),
        (certificate(KEY, "urn:somebody:else"), "calls itself"),
        (certificate(KEY, host="plc.example"), "not for 127.0.0.1"),
    ],
)
async def test_a_trusted_certificate_that_does_not_fit_is_refused(tmp_path, port, one, word):
    async with SecureServer(port, tmp_path, BASIC, key=KEY, one=one) as server:
        assert word in await refusal(server, pki=trusting(tmp_path, server))


async def test_another_host_is_accepted_on_demand(tmp_path, port):
    async with SecureServer(port, tmp_path, BASIC, key=KEY, one=certificate(KEY, host="plc.example")) as server:
        assert await value(server, pki=trusting(tmp_path, server), check_host=False) == 42


async def test_nothing_weaker_is_taken_without_the_word(tmp_path, port):
    weak = [P.NoSecurity, P.Basic128Rsa15_SignAndEncrypt]
    async with SecureServer(port, tmp_path, weak, key=KEY) as server:
        pki = trusting(tmp_path, server)
        assert "security: Basic128Rsa15 accepts" in await refusal(server, pki=pki)
        assert await value(server, pki=pki, security="Basic128Rsa15") == 42
        assert await value(server, pki=pki, security="none") == 42


async def test_a_password_does_not_travel_in_clear_without_the_word(tmp_path, port):
    user = {"username": "me", "password": "secret", "security": "none"}
    async with SecureServer(port, tmp_path, [P.NoSecurity], key=KEY) as server:
        assert "plain_password" in await refusal(server, **user)
        assert await value(server, **user, plain_password=True) == 42


async def test_a_list_of_endpoints_that_was_weakened_on_its_way_is_noticed(tmp_path, port, monkeypatch):
    real = session.get_endpoints

    async def weakened(url, timeout_s):
        return [offer for offer in await real(url, timeout_s) if not offer.policy.startswith("Aes")]

    monkeypatch.setattr(session, "get_endpoints", weakened)
    both = [*BASIC, P.Aes256Sha256RsaPss_SignAndEncrypt]
    async with SecureServer(port, tmp_path, both, key=KEY) as server:
        assert "was changed on its way" in await refusal(server, pki=trusting(tmp_path, server))


async def test_unreachable_servers_do_not_hinder_the_others(tmp_path):
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(SecureServer(free_port(), tmp_path, BASIC, key=KEY)) for _ in range(3)]
        pki = trusting(tmp_path, *servers)
        away = [make_source(f"opc.tcp://127.0.0.1:{free_port()}", NODE, security="auto", pki=pki) for _ in range(5)]
        results = await asyncio.gather(
            *(source.open() for source in away), *(value(server, pki=pki) for server in servers), return_exceptions=True
        )
        await asyncio.gather(*(source.close() for source in away))
    assert results[5:] == [42, 42, 42]
    assert all(isinstance(result, NotConnected) for result in results[:5])


async def test_a_server_that_hangs_up_without_a_word_is_told_with_what_to_do(tmp_path, port):
    async def join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """As far as the request for a channel with security."""
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        back = asyncio.create_task(pump(far_reader, writer))
        while data := await reader.read(65_536):
            if data.startswith(b"OPN") and b"#None" not in data:
                break
            far_writer.write(data)
        for one in (writer, far_writer):
            one.close()
        await back

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)

    async with SecureServer(port, tmp_path, BASIC, key=KEY) as server:
        pki = trusting(tmp_path, server)
        async with await asyncio.start_server(join, "127.0.0.1", 0) as rude:
            source = make_source(f"opc.tcp://127.0.0.1:{rude.sockets[0].getsockname()[1]}", NODE, security="auto", pki=pki)
            with pytest.raises(NotConnected, match="hung up when a channel with Basic256Sha256 was to be opened") as raised:
                await source.open()
            await source.close()
    assert f"copy {Pki(pki).own_path} into its trust list" in str(raised.value)
