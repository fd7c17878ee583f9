"""Session and login on an open channel (OPC UA Part 4, 5.6.2 and 5.6.3): token, secret, signature. On asyncua's services."""

import asyncio
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from asyncua import ua
from asyncua.client.client import Client
from asyncua.crypto import security_policies
from asyncua.ua.uaerrors import UaStatusCodeError
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from gateway.core.bounded_file import read_bounded
from gateway.core.errors import NotConnected
from gateway.sources.opcua.client.admission import admit
from gateway.sources.opcua.client.handshake import offers_of
from gateway.sources.opcua.client.refusal import distrusted, not_let_in
from gateway.sources.opcua.config.device import OpcUaDevice
from gateway.sources.opcua.security.der import NotDer, element
from gateway.sources.opcua.security.endpoints import (
    PREFIX,
    Endpoint,
    NoUsableEndpoint,
    Token,
    TokenKind,
    choose,
    choose_token,
)  # fmt: skip
from gateway.sources.opcua.security.peer_certificate import PeerCertificate, read_chain
from gateway.sources.opcua.security.pki import load_file

_NONCE_BYTES: Final = 32
"""Of the challenge by which the server proves that it has its key (Part 4, 5.6.2.2)."""
_NO_POLICY: Final = "None"


@dataclass(frozen=True, slots=True)
class Login:
    """What a session is activated with, also over another channel.

    token: the kind of login and what protects it; server_certificate: DER, b"" for none; server_key: that secrets are
    encrypted with, None where none are; nonce: the server's last one; user: certificate and key of the user.
    """

    token: Token
    server_certificate: bytes
    server_key: rsa.RSAPublicKey | None
    nonce: bytes
    user: tuple[PeerCertificate, rsa.RSAPrivateKey] | None = None


async def open_session(client: Client, config: OpcUaDevice, offer: Endpoint | None) -> Login:
    """Create and activate the session. offer: the endpoint of the channel, None with security none.

    Raises NotConnected with what to do, and what asyncua raises.
    """
    kind: TokenKind = (
        "username" if config.username is not None else "certificate" if config.user_certificate else "anonymous"
    )
    user = None
    if config.user_certificate and config.user_key:
        user = await asyncio.to_thread(_load_user, config.user_certificate, config.user_key)
    try:
        created = await _create_session(client, config, user)
        offers = offers_of(created.ServerEndpoints) or offers_of(await client.get_endpoints())
    except UaStatusCodeError as error:
        raise distrusted(error, config) from error
    try:
        again = choose(offers, config.security, config.security_mode)
        if offer is not None and (again.policy, again.mode) != (offer.policy, offer.mode):
            # Part 4, 5.7.2.2: the first list came over an open channel and may have been tampered with.
            raise NoUsableEndpoint("the list of endpoints was changed on its way: the server has a stronger one")
        token = choose_token(again, kind, config.security, plain=config.plain_password)
    except NoUsableEndpoint as error:
        raise NotConnected(f"{config.url}: {error}") from None
    shown = client.security_policy.peer_certificate or created.ServerCertificate or again.certificate or b""
    key = await asyncio.to_thread(_key_for_secret, shown, again, token, config)
    login = Login(token, _first(shown), key, created.ServerNonce or b"", user)
    try:
        return await _activate(client, config, login)
    except UaStatusCodeError as error:
        raise not_let_in(error, config) from error


async def resume_session(client: Client, config: OpcUaDevice, login: Login) -> Login | None:
    """Activate a session whose channel was lost over the new channel of another client (Part 4, 6.7).

    Returns None when the server refuses. Raises what asyncua raises where nothing is answered.
    """
    client.uaclient.session.rebind_authentication_token()
    try:
        return await _activate(client, config, login)
    except UaStatusCodeError:
        return None


async def _create_session(
    client: Client, config: OpcUaDevice, user: tuple[PeerCertificate, rsa.RSAPrivateKey] | None
) -> ua.CreateSessionResult:
    """Call CreateSession and let the server prove that it has the key of its certificate, where the channel is secured."""
    policy, nonce = client.security_policy, os.urandom(_NONCE_BYTES)
    asked = ua.CreateSessionParameters()
    asked.ClientNonce, asked.ServerUri = nonce, client.server_uri
    asked.ClientCertificate = policy.host_certificate or (user[0].der if user else None)
    asked.ClientDescription = ua.ApplicationDescription(
        ApplicationUri=client.application_uri,
        ProductUri=client.product_uri,
        ApplicationName=ua.LocalizedText(client.name),
        ApplicationType=ua.ApplicationType.Client,
    )
    asked.EndpointUrl, asked.SessionName = client.server_url.geturl(), f"{client.description} Session"
    asked.RequestedSessionTimeout = client.session_timeout
    created = await client.uaclient.create_session(asked)
    if policy.host_certificate:
        if created.ServerCertificate and _first(created.ServerCertificate) != policy.peer_certificate:
            raise _impostor(f"{config.url}: the server shows another certificate for the session than for the channel")
        signature = created.ServerSignature.Signature if created.ServerSignature else None
        try:
            policy.asymmetric_cryptography.verify(policy.host_certificate + nonce, signature or b"")  # type: ignore[no-untyped-call]  # asyncua's
        except InvalidSignature:
            raise _impostor(f"{config.url}: the server does not prove that it has the key of its certificate") from None
    client.session_timeout = created.RevisedSessionTimeout
    return created


def _key_for_secret(certificate: bytes, offer: Endpoint, token: Token, config: OpcUaDevice) -> rsa.RSAPublicKey | None:
    """Return the server's key that a secret is encrypted with or signed for; None where there is none. Raises NotConnected.

    A secured channel stands on a certificate that was judged. Without one this is where a secret would be given away, so
    the certificate is judged now, unless a password may travel in clear.
    """
    if token.kind == "anonymous" or (token.policy == _NO_POLICY and token.kind == "username"):
        return None
    if not certificate:
        what = "password" if token.kind == "username" else "login"
        raise NotConnected(f"{config.url}: the {what} is to be protected with the server's certificate, but it shows none")
    if offer.policy == _NO_POLICY and not (token.kind == "username" and config.plain_password):
        peer = admit(certificate, offer.application_uri, config)
    else:
        try:
            peer = read_chain(certificate)[0]
        except ValueError as error:
            raise _impostor(f"{config.url}: the server's certificate {error}") from None
    if not isinstance(peer.public_key, rsa.RSAPublicKey):
        raise NotConnected(f"{config.url}: the server's certificate has no RSA key; elliptic curves are not supported")
    return peer.public_key


def _impostor(text: str) -> NotConnected:
    return NotConnected(text, security="certificate_refused")


def _first(chain: bytes) -> bytes:
    """Return the first certificate of a chain; b"" of what is none."""
    try:
        return element(chain)[2] if chain else b""
    except NotDer:
        return b""


async def _activate(client: Client, config: OpcUaDevice, login: Login) -> Login:
    """Call ActivateSession. Returns the login with the server's next nonce."""
    policy = client.security_policy
    challenge = login.server_certificate + login.nonce
    asked = ua.ActivateSessionParameters()
    asked.LocaleIds = client._locale
    asked.ClientSignature.Algorithm = (
        policy.AsymmetricSignatureURI or security_policies.SecurityPolicyBasic256Sha256.AsymmetricSignatureURI
    )
    asked.ClientSignature.Signature = policy.asymmetric_cryptography.signature(challenge)  # type: ignore[no-untyped-call]  # asyncua's
    asked.UserIdentityToken = _identity(config, login, challenge, asked)
    answer = await client.uaclient.activate_session(asked)
    return replace(login, nonce=answer.ServerNonce or b"")


def _identity(config: OpcUaDevice, login: Login, challenge: bytes, asked: ua.ActivateSessionParameters) -> Any:
    """Return the identity token; a user's certificate signs the challenge beside it (Part 4, 7.40)."""
    if login.token.kind == "anonymous":
        return ua.AnonymousIdentityToken(PolicyId=login.token.id)
    uri = PREFIX + login.token.policy
    if login.user is not None:
        certificate, private = login.user
        signature, algorithm = security_policies.sign_asymmetric(private, challenge, uri)  # type: ignore[no-untyped-call]  # asyncua's
        asked.UserTokenSignature = ua.SignatureData(Algorithm=algorithm, Signature=signature)
        return ua.X509IdentityToken(PolicyId=login.token.id, CertificateData=certificate.der)
    identity = ua.UserNameIdentityToken(PolicyId=login.token.id, UserName=config.username)
    password = config.password.get_secret_value().encode() if config.password else b""
    if login.server_key is None:
        identity.Password = password
        return identity
    # the password with the server's nonce behind it (Part 4, 7.40.2.2), so that nobody can send it a second time
    secret = ua.ua_binary.Primitives.Bytes.pack(password + login.nonce)
    identity.Password, identity.EncryptionAlgorithm = security_policies.encrypt_asymmetric(login.server_key, secret, uri)  # type: ignore[no-untyped-call]  # asyncua's
    return identity


def _load_user(certificate: Path, key: Path) -> tuple[PeerCertificate, rsa.RSAPrivateKey]:
    try:
        content = read_bounded(key)
        load = serialization.load_pem_private_key if b"-----BEGIN" in content else serialization.load_der_private_key
        private = load(content, None)
    except OSError as error:
        raise NotConnected(f"user_key cannot be read: {key}: {error.strerror}") from None
    except (ValueError, TypeError):  # TypeError: a pass phrase is missing
        raise NotConnected(f"user_key: {key} holds no private key without a pass phrase; expected PEM or DER") from None
    try:
        user = load_file(certificate)
    except OSError as error:
        raise NotConnected(f"user_certificate cannot be read: {certificate}: {error.strerror}") from None
    except ValueError as error:
        raise NotConnected(f"user_certificate: {error}") from None
    if not isinstance(private, rsa.RSAPrivateKey) or private.public_key() != user.public_key:
        raise NotConnected("user_key is not the RSA key of user_certificate")
    return user, private
