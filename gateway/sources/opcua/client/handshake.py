"""Secure channel on asyncua: endpoint, trust, channel. The session on it: `login`."""

import asyncio
from typing import Any, Final

from asyncua import ua
from asyncua.client.client import Client
from asyncua.crypto import security_policies
from asyncua.ua.uaerrors import UaStatusCodeError

from gateway.core.deadline import end_if_cancelled
from gateway.core.errors import NotConnected
from gateway.sources.opcua.client.admission import admit, own_certificate
from gateway.sources.opcua.client.refusal import distrusted, untrusted_here
from gateway.sources.opcua.client.transport import bind_transport
from gateway.sources.opcua.config.device import OpcUaDevice
from gateway.sources.opcua.port.adaptive_timeout import AdaptiveTimeout
from gateway.sources.opcua.security.endpoints import Endpoint, Mode, NoUsableEndpoint, Token, TokenKind, choose, short_name

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


async def get_endpoints(url: str, timeout: AdaptiveTimeout) -> list[Endpoint]:
    """GetEndpoints (Part 4, 5.5.4) over a channel of its own without security. Raises what asyncua raises."""
    client = bind_transport(Client(url, timeout=timeout.timeout_s), timeout)
    return offers_of(await client.connect_and_get_server_endpoints())


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
        own = await asyncio.to_thread(own_certificate, config)
        peer = await asyncio.to_thread(admit, offer.certificate, offer.application_uri, config)
        client.application_uri = own.application_uri
        mode = next(mode for mode, name in _MODES.items() if name == offer.mode)
        policy = _POLICIES[offer.policy](peer.readable, own.certificate, own.key, mode)
        policy.peer_certificate = peer.der
        client.security_policy = policy
        client.uaclient.set_security(policy)
    try:
        await client.connect_socket()
        end_if_cancelled()
        await client.send_hello()
        await client.open_secure_channel()
    except UaStatusCodeError as error:
        raise distrusted(error, config) from error
    except ConnectionError as error:
        if offer is None or isinstance(error, ConnectionRefusedError):
            raise
        what = f"the server hung up when a channel with {offer.policy} was to be opened"
        raise NotConnected(f"{config.url}: {what}; {untrusted_here(config)}") from error
    return offer


def offers_of(endpoints: list[ua.EndpointDescription] | None) -> list[Endpoint]:
    """Return what a server offers, in our words; nothing where it left the list out."""
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
