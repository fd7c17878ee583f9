"""Security against node-opcua's server, a foreign stack: every policy and mode with every login."""

import pytest

from gateway.core.errors import NotConnected
from gateway.sources.opcua.security.pki import Pki
from tests.support.network import free_port
from tests.support.opcua_reader import make_source, reading
from tests.support.opcua_secure import KEY, certificate, write_pair
from tests.support.opcua_server import NodeServer

NODE = ["ns=1;s=v0"]
POLICIES = ("Basic256Sha256", "Aes128_Sha256_RsaOaep", "Aes256_Sha256_RsaPss")


async def value(url, **device) -> float:
    async with reading(url, NODE, **device) as reader:
        await reader.until(lambda: reader.seen(1))
        return reader.values[0][0]


async def refusal(url, **device) -> str:
    source = make_source(url, NODE, **device)
    with pytest.raises(NotConnected) as raised:
        await source.open()
    await source.close()
    return str(raised.value)


async def test_every_policy_and_mode_with_every_login(node, tmp_path):
    """Key and certificates are made once: one server serves all the combinations."""
    folder, user = tmp_path / "server", certificate(KEY, "urn:user")
    (folder / "user" / "trusted" / "certs").mkdir(parents=True)
    path, key = write_pair(folder / "user" / "trusted" / "certs", "user", user, KEY)
    stranger, _ = write_pair(tmp_path, "stranger", certificate(KEY, "urn:stranger"), KEY)
    logins = [{}, {"username": "me", "password": "secret"}, {"user_certificate": path, "user_key": key}]
    device = {"pki": tmp_path / "pki", "check_host": False}
    async with NodeServer(node, free_port(), folder, script="opcua_secure_server.js") as server:
        assert "gateway cert trust" in await refusal(server.url, security="auto", **device)
        Pki(tmp_path / "pki").trust(Pki(tmp_path / "pki").listed("rejected")[0].certificate)
        for policy in POLICIES:
            for mode in ("Sign", "SignAndEncrypt"):
                for login in logins:
                    assert await value(server.url, security=policy, security_mode=mode, **login, **device) == 42, (
                        policy,
                        mode,
                    )
        for login in logins:
            assert await value(server.url, security="auto", **login, **device) == 42
            assert await value(server.url, security="none", **login, **device) == 42
        wrong = await refusal(server.url, security="auto", username="me", password="hunter2", **device)
        assert "hunter2" not in wrong
        assert "BadUserAccessDenied" in wrong or "BadIdentityToken" in wrong
        assert "Bad" in await refusal(server.url, security="auto", user_certificate=stranger, user_key=key, **device)
