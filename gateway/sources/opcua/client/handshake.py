"""Secure channel and session on asyncua, from connecting to login: endpoint, trust, token."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from asyncua import ua
from asyncua.client.client import Client
from asyncua.crypto import security_policies
from asyncua.ua.uaerrors import UaError, UaStatusCodeError
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from gateway.core.deadline import end_if_cancelled
from gateway.core.errors import NotConnected
from gateway.sources.opcua.client.transport import bind_transport
from gateway.sources.opcua.config.device import OpcUaDevice
from gateway.sources.opcua.config.pki_folder import DEFAULT_FOLDER
from gateway.sources.opcua.port.adaptive_timeout import AdaptiveTimeout
from gateway.sources.opcua.security.certificates import fingerprint, load_certificate, load_chain
from gateway.sources.opcua.security.endpoints import (
    SHA1,
    Endpoint,
    Mode,
    NoUsableEndpoint,
    Token,
    TokenKind,
    choose,
    choose_token,
    short_name,
)  # fmt: skip
from gateway.sources.opcua.security.pki import OwnCertificate, Pki, fault
from gateway.sources.opcua.security.trust import Expected, Refused, verify
from gateway.sources.opcua.status.codes import status_name

_POLICIES: Final[dict[str, Any]] = {  # asyncua declares neither their constructors nor one base for them all
    "Aes256_Sha256_RsaPss": security_policies.SecurityPolicyAes256Sha256RsaPss,
    "Aes128_Sha256_RsaOaep": security_policies.SecurityPolicyAes128Sha256RsaOaep,
    "Basic256Sha256": security_policies.SecurityPolicyBasic256Sha256,
    "Basic256": security_policies.SecurityPolicyBasic256,
    "Basic128Rsa15": security_policies.SecurityPolicyBasic128Rsa15,
}
_MODES: Final[dict[ua.MessageSecurityMode, Mode]] = {
    ua.MessageSecurityMode.None_: "None",
    ua.MessageSecurityMode.Sign: "Sign",
    ua.MessageSecurityMode.SignAndEncrypt: "SignAndEncrypt",
}
_TOKENS: Final[dict[ua.UserTokenType, TokenKind]] = {
    ua.UserTokenType.Anonymous: "anonymous",
    ua.UserTokenType.UserName: "username",
    ua.UserTokenType.Certificate: "certificate",
}
_TIME_INVALID: Final = 0x80140000
_DISTRUST: Final = frozenset({*range(0x80120000, 0x801E0000, 0x10000), 0x80550000, 0x80580000, 0x810D0000})
"""Certificate invalid to revoked, security checks failed; policy rejected; signature invalid; chain incomplete."""
_NOT_LET_IN: Final = frozenset({0x801F0000, 0x80200000, 0x80210000})
"""User access denied; identity token invalid, rejected."""


async def get_endpoints(url: str, timeout: AdaptiveTimeout) -> list[Endpoint]:
    """GetEndpoints (Part 4, 5.5.4) over a channel of its own without security. Raises what asyncua raises."""
    client = bind_transport(Client(url, timeout=timeout.timeout_s), timeout)
    return _offers(await client.connect_and_get_server_endpoints())


async def get_servers(url: str, timeout: AdaptiveTimeout) -> list[tuple[str, str]]:
    """Return application URI and URL of each server that a discovery server knows (FindServers, Part 4, 5.5.2).

    Raises as `get_endpoints`.
    """
    servers = await bind_transport(Client(url, timeout=timeout.timeout_s), timeout).connect_and_find_servers()
    return [(one.ApplicationUri or "", place) for one in servers for place in one.DiscoveryUrls or ()]


async def open_channel(client: Client, config: OpcUaDevice, timeout: AdaptiveTimeout) -> Endpoint | None:
    """Choose the endpoint, verify the server's certificate, open the channel. None with security none.

    Raises NotConnected with what to do, and what asyncua raises.
    """
    offer = None
    client.application_uri, client.product_uri = "urn:gateway:opcua:client", "urn:gateway"
    if config.security != "none":
        offers = await get_endpoints(config.url, timeout)
        try:
            offer = choose(offers, config.security, config.security_mode)
        except NoUsableEndpoint as error:
            raise NotConnected(f"{config.url}: {error}") from None
        own = await asyncio.to_thread(_admit, offer, config)
        client.application_uri = own.application_uri
        peer = load_chain(offer.certificate)[0]
        mode = next(mode for mode, name in _MODES.items() if name == offer.mode)
        policy = _POLICIES[offer.policy](peer, own.certificate, own.key, mode)
        client.security_policy = policy
        client.uaclient.set_security(policy)
    try:
        await client.connect_socket()
        end_if_cancelled()
        await client.send_hello()
        await client.open_secure_channel()
    except UaStatusCodeError as error:
        raise _distrusted(error, config) from error
    except ConnectionError as error:
        if offer is None or isinstance(error, ConnectionRefusedError):
            raise
        what = f"the server hung up when a channel with {offer.policy} was to be opened"
        raise NotConnected(f"{config.url}: {what}; {_untrusted_here(config)}") from error
    return offer


async def open_session(client: Client, config: OpcUaDevice, offer: Endpoint | None, timeout: AdaptiveTimeout) -> None:
    """Create and activate the session. Raises as `open_channel`."""
    kind: TokenKind = (
        "username" if config.username is not None else "certificate" if config.user_certificate else "anonymous"
    )
    if config.user_certificate and config.user_key:
        client.user_certificate, client.user_private_key = await asyncio.to_thread(
            _load_user, config.user_certificate, config.user_key
        )
    try:
        created = await _create_session(client, config, offer, timeout)
        offers = _offers(created.ServerEndpoints)
        try:
            again = choose(offers, config.security, config.security_mode)
            if offer is not None and (again.policy, again.mode) != (offer.policy, offer.mode):
                # Part 4, 5.7.2.2: the first list came over an open channel and may have been tampered with.
                raise NoUsableEndpoint("the list of endpoints was changed on its way: the server has a stronger one")
            token = choose_token(again, kind, config.security, plain=config.plain_password)
        except NoUsableEndpoint as error:
            raise NotConnected(f"{config.url}: {error}") from None
        client._policy_ids = [policy for policy in client._policy_ids if _is_token(policy, token, again)]
        password = config.password.get_secret_value() if config.password else None
    except UaStatusCodeError as error:
        raise _distrusted(error, config) from error
    try:
        await client.activate_session(username=config.username, password=password, certificate=client.user_certificate)
    except UaStatusCodeError as error:
        raise _not_let_in(error, config) from error


async def _create_session(
    client: Client, config: OpcUaDevice, offer: Endpoint | None, timeout: AdaptiveTimeout
) -> ua.CreateSessionResult:
    try:
        return await client.create_session()
    except UaStatusCodeError:
        raise
    except UaError as error:  # of the endpoints in the server's answer none is like the channel
        if offer is None:
            try:
                choose(await get_endpoints(config.url, timeout), config.security, config.security_mode)
            except NoUsableEndpoint as none:
                raise NotConnected(f"{config.url}: {none}") from error
        raise


async def resume_session(client: Client, before: Client, config: OpcUaDevice) -> bool:
    """Activate the session of a client whose channel was lost over the new channel of another one (Part 4, 6.7).

    Returns False when the server refuses. Raises what asyncua raises where nothing is answered.
    """
    policy, session = client.security_policy, client.uaclient.session
    policy.peer_certificate = policy.peer_certificate or before.security_policy.peer_certificate
    client._server_nonce, client._policy_ids = before._server_nonce, before._policy_ids
    client.session_timeout = before.session_timeout
    client.user_certificate, client.user_private_key = before.user_certificate, before.user_private_key
    session.rebind_authentication_token()
    password = config.password.get_secret_value() if config.password else None
    try:
        await client.activate_session(username=config.username, password=password, certificate=client.user_certificate)
    except UaStatusCodeError:
        return False
    return True


def _admit(offer: Endpoint, config: OpcUaDevice) -> OwnCertificate:
    """Return the own certificate if that of the server is trusted. Raises NotConnected."""
    pki, now = Pki(config.pki), datetime.now(UTC)
    option = "" if config.pki == DEFAULT_FOLDER else f" --pki {config.pki}"
    try:
        own = pki.own(now)
        try:
            chain = load_chain(offer.certificate)
        except ValueError as error:
            raise NotConnected(f"{config.url}: the server's certificate cannot be read: {error}") from None
        if not chain:
            raise NotConnected(f"{config.url}: the server shows no certificate")
        host = (urlsplit(config.url).hostname or "") if config.check_host else ""
        try:
            verify(chain, pki.lists(), Expected(offer.application_uri, host, config.security in SHA1), now)
        except Refused as refused:
            if refused.unknown:
                pki.reject(chain[0])
            command = f"gateway cert trust {fingerprint(chain[0])}{option}"
            advice = f"; if it is the right one: {command}" if refused.unknown else ""
            raise NotConnected(f"{config.url}: {refused}{advice}", security="certificate_refused") from None
    except (OSError, ValueError) as error:
        raise NotConnected(
            f"{config.url}: certificates in {config.pki} cannot be used: {fault(error)}; pki: names another folder (on the "
            "command line --pki)"
        ) from None
    return own


def _load_user(certificate: Path, key: Path) -> tuple[x509.Certificate, rsa.RSAPrivateKey]:
    try:
        content = key.read_bytes()
        load = serialization.load_pem_private_key if b"-----BEGIN" in content else serialization.load_der_private_key
        private = load(content, None)
        user = load_certificate(certificate.read_bytes())
    except (OSError, ValueError, TypeError) as error:
        raise NotConnected(f"user_certificate or user_key cannot be used: {error}") from None
    if not isinstance(private, rsa.RSAPrivateKey) or private.public_key() != user.public_key():
        raise NotConnected("user_key is not the RSA key of user_certificate")
    return user, private


def _distrusted(error: UaStatusCodeError, config: OpcUaDevice) -> Exception:
    if error.code not in _DISTRUST or config.security == "none":
        return error
    if error.code == _TIME_INVALID:
        advice = (
            f"to its clock the certificate {Pki(config.pki).own_path} has expired or is not yet valid: compare the clocks "
            f"(here it is {datetime.now(UTC):%Y-%m-%d %H:%M}Z), or make a new one with gateway cert new"
        )
    else:
        advice = _untrusted_here(config)
    text = f"{config.url}: the server refuses: {status_name(error.code)}; {advice}"
    return NotConnected(text, security="certificate_refused")


def _untrusted_here(config: OpcUaDevice) -> str:
    return (
        f"it may not trust this gateway's certificate yet: copy {Pki(config.pki).own_path} into its trust list, or accept "
        "it there among the rejected ones"
    )


def _not_let_in(error: UaStatusCodeError, config: OpcUaDevice) -> Exception:
    """Return the error of a refused login: the channel is open, so what the server refuses is the user."""
    if error.code not in _NOT_LET_IN or (config.username is None and config.user_certificate is None):
        return _distrusted(error, config)
    if config.username is not None:
        who, advice = f"the user {config.username!r}", "check username and password, and what the server lets this user do"
    else:
        who, advice = f"the user's certificate {config.user_certificate}", "the server has to trust it, and let its user in"
    text = f"{config.url}: the server refuses {who}: {status_name(error.code)}: {advice}"
    return NotConnected(text, security="login_refused")


def _offers(endpoints: list[ua.EndpointDescription]) -> list[Endpoint]:
    return [
        Endpoint(
            e.EndpointUrl or "",
            short_name(e.SecurityPolicyUri or ""),
            _MODES.get(e.SecurityMode, "None"),
            e.ServerCertificate or b"",
            e.Server.ApplicationUri or "",
            tuple(
                Token(_TOKENS.get(t.TokenType, "other"), short_name(t.SecurityPolicyUri or ""), t.PolicyId or "")
                for t in e.UserIdentityTokens or ()
            ),
        )
        for e in endpoints or ()
    ]


def _is_token(policy: ua.UserTokenPolicy, token: Token, offer: Endpoint) -> bool:
    uri = short_name(policy.SecurityPolicyUri or "") or offer.policy
    return policy.PolicyId == token.id and uri == token.policy
