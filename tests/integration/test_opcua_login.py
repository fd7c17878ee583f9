"""Logins without a secured channel: no secret is encrypted for, or signed to, a certificate that nobody trusts."""

import re

import pytest
from asyncua import ua

from gateway.sources.opcua.security.certificates import der, fingerprint
from gateway.sources.opcua.security.pki import Pki
from tests.integration.test_opcua_nasty_secure import offer_logins
from tests.support.opcua_mangler import Mangler
from tests.support.opcua_secure import KEY, P, SecureServer, certificate, peer, refusal, value, write_pair
from tests.support.rsa_keys import RSA_KEYS

USER = {"username": "me", "password": "secret", "security": "none"}
OTHER_KEY = RSA_KEYS[2]
PYTHON = re.compile(r"NoneType|object|attribute|Traceback|\w+Error\b|<class|\bNone\b|\bnot enough\b|bytes")


class Through:
    """A server that protects passwords with Basic256Sha256, behind a proxy that changes its answers."""

    def __init__(self, server: SecureServer, mangler: Mangler) -> None:
        self.server, self.url, self.mangler = server, mangler.url, mangler

    def change(
        self, *, session: dict[str, object] | None = None, certificate: object = ..., endpoints: object = ...
    ) -> None:
        """session: attributes of CreateSession's answer; certificate: of all endpoints; endpoints: all there are."""

        def apply(response: object) -> None:
            if isinstance(response, ua.CreateSessionResponse):
                for name, given in (session or {}).items():
                    setattr(response.Parameters, name, given)
                for one in response.Parameters.ServerEndpoints or ():
                    one.ServerCertificate = one.ServerCertificate if certificate is ... else certificate
            if isinstance(response, ua.GetEndpointsResponse):
                response.Endpoints = response.Endpoints if endpoints is ... else endpoints
                for one in response.Endpoints or ():
                    one.ServerCertificate = one.ServerCertificate if certificate is ... else certificate

        self.mangler.response = apply

    @property
    def logged_in(self) -> bool:
        """Whether a login, and a password with it, has left."""
        return "ActivateSessionRequest" in self.mangler.seen


@pytest.fixture
async def through(tmp_path, port):
    async with SecureServer(port, tmp_path, [P.NoSecurity], key=KEY) as server, Mangler(port) as mangler:
        offer_logins(server, ua.UserTokenType.UserName, "Basic256Sha256")
        yield Through(server, mangler)


async def test_a_password_leaves_only_for_a_server_whose_certificate_is_trusted(tmp_path, through):
    pki = str(tmp_path / "pki")
    text = await refusal(through, **USER, pki=pki)
    assert f"gateway cert trust {through.server.fingerprint} --pki {pki}" in text
    assert not through.logged_in
    Pki(pki).trust(peer(through.server.certificate))
    assert await value(through, **USER, pki=pki) == 42
    assert through.logged_in


async def test_a_certificate_that_somebody_in_the_middle_puts_in_place_gets_no_password(tmp_path, through):
    pki, other = str(tmp_path / "pki"), certificate(OTHER_KEY)
    Pki(pki).trust(peer(through.server.certificate))
    through.change(session={"ServerCertificate": der(other)}, certificate=der(other))
    text = await refusal(through, **USER, pki=pki)
    assert f"is not trusted (SHA-256 {fingerprint(other)})" in text
    assert f"another one of the same server was trusted ({through.server.fingerprint[:16]}...)" in text
    assert not through.logged_in


async def test_who_may_send_a_password_in_clear_may_encrypt_it_for_anybody(tmp_path, through):
    assert await value(through, **USER, plain_password=True, pki=str(tmp_path / "pki")) == 42


async def test_a_user_certificate_signs_nothing_for_a_server_that_nobody_trusts(tmp_path, port):
    user = certificate(KEY, "urn:user")
    path, key = write_pair(tmp_path, "user", user, KEY)
    login = {"user_certificate": str(path), "user_key": str(key), "pki": str(tmp_path / "pki"), "security": "none"}
    async with SecureServer(port, tmp_path, [P.NoSecurity], key=KEY, user=user) as server, Mangler(port) as mangler:
        offer_logins(server, ua.UserTokenType.Certificate, "Basic256Sha256")
        through = Through(server, mangler)
        assert "is not trusted" in await refusal(through, **login)
        assert not through.logged_in
        Pki(tmp_path / "pki").trust(peer(server.certificate))
        assert await value(through, **login) == 42


@pytest.mark.parametrize(
    "session",
    [{"ServerCertificate": None}, {"ServerEndpoints": None}, {"ServerEndpoints": [], "ServerCertificate": b""}],
    ids=["no certificate", "no endpoints", "neither"],
)
async def test_what_the_answer_to_create_session_leaves_out_is_taken_from_the_endpoints(tmp_path, through, session):
    """Trust is asked for all the same, and then the login works."""
    pki = str(tmp_path / "pki")
    through.change(session=session)
    assert f"gateway cert trust {through.server.fingerprint}" in await refusal(through, **USER, pki=pki)
    assert not through.logged_in
    Pki(pki).trust(peer(through.server.certificate))
    assert await value(through, **USER, pki=pki) == 42


async def test_without_any_certificate_the_reason_says_what_is_missing(tmp_path, through):
    through.change(session={"ServerCertificate": None}, certificate=None)
    text = await refusal(through, **USER, pki=str(tmp_path / "pki"))
    assert "the password is to be protected with the server's certificate, but it shows none" in text
    assert not through.logged_in


@pytest.mark.parametrize(
    ("session", "endpoints"),
    [
        ({"ServerEndpoints": None}, None),
        ({"ServerEndpoints": [ua.EndpointDescription()]}, ...),
        ({"ServerCertificate": b"\x30"}, ...),
        ({"ServerCertificate": b"\xff" * 900}, ...),
        ({"ServerSignature": ua.SignatureData(), "ServerNonce": None, "ServerEndpoints": None}, []),
    ],
)
async def test_no_words_of_a_program_reach_a_reason(tmp_path, through, session, endpoints):
    through.change(session=session, endpoints=endpoints)
    text = await refusal(through, **USER, pki=str(tmp_path / "pki"))
    assert not PYTHON.search(text), text
    assert not through.logged_in
