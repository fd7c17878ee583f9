"""Awkward logins and certificates, on asyncua's server."""

from datetime import timedelta

import pytest
from asyncua import ua
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from gateway.sources.opcua.security.certificates import der, fingerprint
from gateway.sources.opcua.security.endpoints import PREFIX
from gateway.sources.opcua.security.pki import Pki
from tests.support.opcua_field import in_the_field
from tests.support.opcua_secure import (
    BASIC,
    KEY,
    NODE,
    P,
    SecureServer,
    certificate,
    crl,
    issued,
    peer,
    refusal,
    value,
    write_pair,
)
from tests.support.rsa_keys import RSA_KEYS

OAEP_SHA256 = "http://opcfoundation.org/UA/security/rsa-oaep-sha2-256"
OAEP = "http://www.w3.org/2001/04/xmlenc#rsa-oaep"


def offer_logins(server, kind, *policies) -> list[str]:
    """Replace what all endpoints of a running server offer; returns a list that fills with the algorithms of passwords."""
    inner = server._server.iserver
    for endpoint in inner.endpoints:
        endpoint.UserIdentityTokens = [
            ua.UserTokenPolicy(PolicyId=f"p{at}", TokenType=kind, SecurityPolicyUri=PREFIX + policy if policy else None)
            for at, policy in enumerate(policies)
        ]
    used, decrypt = [], inner.decrypt_user_token

    def noted(session, token):
        used.append((token.PolicyId, token.EncryptionAlgorithm))
        return decrypt(session, token)

    inner.decrypt_user_token = noted
    return used


LOGINS = [
    (BASIC, "auto", ("None", "Basic128Rsa15", "Aes256_Sha256_RsaPss", "Basic256Sha256"), ("p2", OAEP_SHA256)),
    (BASIC, "auto", ("Basic128Rsa15", "Basic256Sha256", ""), ("p1", OAEP)),
    ([P.Basic256Sha256_Sign], "auto", ("",), ("p0", OAEP)),
    ([P.NoSecurity], "none", ("None", "Basic128Rsa15", "Aes128_Sha256_RsaOaep"), ("p2", OAEP)),
]


@pytest.mark.parametrize(("policies", "security", "tokens", "expected"), LOGINS)
async def test_of_several_ways_to_protect_a_password_the_strongest_is_taken(
    tmp_path, port, policies, security, tokens, expected
):
    """Whatever protects the channel: a token may have a policy of its own, or that of the endpoint."""
    async with SecureServer(port, tmp_path, policies, key=KEY, anonymous=False) as server:
        used = offer_logins(server, ua.UserTokenType.UserName, *tokens)
        Pki(tmp_path / "pki").trust(peer(server.certificate))
        mode = "Sign" if "Sign" in policies[0].name and "Encrypt" not in policies[0].name else "SignAndEncrypt"
        user = {"username": "me", "password": "secret", "pki": str(tmp_path / "pki")}
        assert await value(server, security=security, security_mode=mode, **user) == 42
        assert set(used) == {expected}
        assert "anonymous" in await refusal(server, security=security, security_mode=mode, pki=str(tmp_path / "pki"))


async def test_a_weak_policy_for_the_password_alone_is_refused(tmp_path, port):
    async with SecureServer(port, tmp_path, BASIC, key=KEY) as server:
        offer_logins(server, ua.UserTokenType.UserName, "Basic128Rsa15")
        Pki(tmp_path / "pki").trust(peer(server.certificate))
        text = await refusal(server, username="me", password="secret", pki=str(tmp_path / "pki"))
        assert "the server protects the login with Basic128Rsa15 only" in text


@pytest.mark.parametrize("token", ["Aes256_Sha256_RsaPss", "Aes128_Sha256_RsaOaep", ""])
async def test_a_user_certificate_signs_by_the_policy_of_its_token(tmp_path, port, token):
    user = certificate(KEY, "urn:user")
    path, key = write_pair(tmp_path, "user", user, KEY)
    async with SecureServer(port, tmp_path, BASIC, key=KEY, user=user, anonymous=False) as server:
        offer_logins(server, ua.UserTokenType.Certificate, "Basic128Rsa15", token)
        Pki(tmp_path / "pki").trust(peer(server.certificate))
        login = {"user_certificate": str(path), "user_key": str(key), "pki": str(tmp_path / "pki")}
        assert await value(server, **login) == 42


async def test_a_small_key_is_refused_even_when_it_is_trusted(tmp_path, port):
    small = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    async with SecureServer(port, tmp_path, BASIC, key=small) as server:
        Pki(tmp_path / "pki").trust(peer(server.certificate))
        text = await refusal(server, pki=str(tmp_path / "pki"))
        assert "has 1024 bits, fewer than 2048" in text


def place(pki, path: str, content: bytes) -> None:
    file = pki / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)


def der_of(revocations) -> bytes:
    return revocations.public_bytes(serialization.Encoding.DER)


@pytest.mark.parametrize("sends_chain", [False, True])
async def test_a_chain_with_an_intermediate_authority_and_revocation_lists(tmp_path, port, sends_chain):
    """The root is trusted, the authority between only completes the chain; either may revoke what it signed."""
    root_key, middle_key = RSA_KEYS[2:4]
    root = issued(root_key, "root", None, root_key, ca=True)
    middle = issued(middle_key, "middle", root, root_key, ca=True)
    leaf = issued(KEY, "server", middle, middle_key)
    pki, device = tmp_path / "pki", {"pki": str(tmp_path / "pki"), "check_host": False}
    async with SecureServer(port, tmp_path, BASIC, key=KEY, one=leaf) as server:
        if sends_chain:
            for endpoint in server._server.iserver.endpoints:
                endpoint.ServerCertificate = der(leaf) + der(middle)
        place(pki, "trusted/certs/root.der", der(root))
        if not sends_chain:
            assert "is not trusted" in await refusal(server, **device)
            place(pki, "issuers/certs/middle.der", der(middle))
        text = await refusal(server, **device)
        assert "no revocation list of CN=root" in text
        assert "no revocation list of CN=middle" in text
        accept = [{"certificate": fingerprint(one), "although": ["no_crl"]} for one in (root, middle)]
        assert await value(server, **device, accept=accept) == 42
        place(pki, "trusted/crl/root.crl", der_of(crl(root, root_key, [])))
        place(pki, "issuers/crl/middle.crl", der_of(crl(middle, middle_key, [])))
        assert await value(server, **device) == 42
        place(pki, "issuers/crl/middle.crl", der_of(crl(middle, middle_key, [leaf])))
        assert "CN=server was revoked by its authority" in await refusal(server, **device)
        place(pki, "issuers/crl/middle.crl", der_of(crl(middle, middle_key, [])))
        place(pki, "trusted/crl/root.crl", der_of(crl(root, root_key, [middle])))
        assert "CN=middle was revoked by its authority" in await refusal(server, **device)


async def test_a_certificate_that_changes_under_a_running_gateway(tmp_path, port):
    """Swapped: refused until it is trusted; expired: refused until it is renewed. Nothing is started anew."""
    pki, first = Pki(tmp_path / "pki"), certificate(KEY)
    swapped = certificate(KEY)
    expired = certificate(KEY, age=timedelta(days=30), valid=timedelta(days=10))
    pki.trust(peer(first))
    device = {"security": "auto", "pki": str(pki.folder)}
    async with in_the_field(f"opc.tcp://127.0.0.1:{port}", NODE, **device) as field:
        async with SecureServer(port, tmp_path, BASIC, key=KEY, one=first):
            await field.until(lambda: bool(field.values[0]))
        async with SecureServer(port, tmp_path, BASIC, key=KEY, one=swapped):
            await field.until(lambda: any(f"gateway cert trust {fingerprint(swapped)}" in reason for reason in field.downs))
            assert any(f"was trusted ({fingerprint(first)[:8]}" in reason for reason in field.downs)
            pki.trust(peer(swapped))
            await field.until_fresh()
        pki.trust(peer(expired))
        async with SecureServer(port, tmp_path, BASIC, key=KEY, one=expired):
            await field.until(lambda: any("expired on" in reason for reason in field.downs))
        async with SecureServer(port, tmp_path, BASIC, key=KEY, one=first):
            await field.until_fresh()
