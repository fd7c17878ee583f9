"""Which endpoint and which kind of login to use: the strongest that both sides have, never less than was asked for. Pure.

Policies: OPC UA Part 7, 6.6 (2022: SecurityPolicy facets). Endpoints and user tokens: Part 4, 7.14 and 7.42.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

PREFIX: Final = "http://opcfoundation.org/UA/SecurityPolicy#"
STRONG: Final = ("Aes256_Sha256_RsaPss", "Aes128_Sha256_RsaOaep", "Basic256Sha256")
"""Strongest first."""
SHA1: Final = ("Basic256", "Basic128Rsa15")
"""Broken; only for who writes the name."""
Mode = Literal["None", "Sign", "SignAndEncrypt"]
TokenKind = Literal["anonymous", "username", "certificate"]


class NoUsableEndpoint(Exception):
    """The server offers nothing that the configuration allows; the text says what it offers and what to do."""


@dataclass(frozen=True, slots=True)
class Token:
    """One way to log in. policy: what the secret is encrypted or signed with, "" for the endpoint's own policy."""

    kind: str
    policy: str
    id: str


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint of a server. policy: short name (`Basic256Sha256`, `None`); certificate: DER, perhaps with its chain."""

    url: str
    policy: str
    mode: str
    certificate: bytes
    application_uri: str
    tokens: tuple[Token, ...]


def short_name(uri: str) -> str:
    """`Basic256Sha256` of the policy's URI; an unknown URI as it is."""
    return uri.removeprefix(PREFIX)


def allowed_policies(security: str) -> tuple[str, ...]:
    """Return the policies that `security` of the configuration allows, strongest first."""
    return {"auto": STRONG, "none": ("None",)}.get(security, (security,))


def choose(offers: Sequence[Endpoint], security: str, mode: str) -> Endpoint:
    """Return the strongest endpoint allowed. Raises NoUsableEndpoint, and never falls back to anything weaker."""
    wanted = "None" if security == "none" else mode
    for policy in allowed_policies(security):
        for offer in offers:
            if (offer.policy, offer.mode) == (policy, wanted) and offer.url.startswith("opc.tcp://"):
                return offer
    raise NoUsableEndpoint(_advice(offers, security, wanted))


def _advice(offers: Sequence[Endpoint], security: str, mode: str) -> str:
    listed = ", ".join(sorted({_described(offer) for offer in offers})) or "nothing"
    asked = "one of " + ", ".join(STRONG) if security == "auto" else security
    asked = "no security" if security == "none" else f"{asked} with {mode}"
    text = f"the server offers {listed}, but the configuration asks for {asked}"
    policies = {offer.policy for offer in offers}
    if any(offer.policy in allowed_policies(security) and offer.mode == "Sign" for offer in offers) and mode != "Sign":
        return f"{text}; security_mode: Sign accepts values that are signed but readable by others"
    if policies & set(STRONG):
        return f"{text}; security: auto takes the strongest"
    if weak := [policy for policy in SHA1 if policy in policies]:
        signed = "" if (weak[0], "SignAndEncrypt") in {(o.policy, o.mode) for o in offers} else " with security_mode: Sign"
        return f"{text}; security: {weak[0]}{signed} accepts a policy that rests on SHA-1, which is broken"
    if "None" in policies:
        return f"{text}; security: none accepts what anybody can read and change (on the command line --security none)"
    return text


def _described(offer: Endpoint) -> str:
    if not offer.policy:
        return "an endpoint that names no policy"
    return "no security" if offer.policy == "None" else f"{offer.policy}/{offer.mode}"


def choose_token(offer: Endpoint, kind: TokenKind, security: str, *, plain: bool) -> Token:
    """Return the strongest token of this kind, its policy written out. Raises NoUsableEndpoint.

    A secret that neither channel nor token encrypts well is sent only with `plain`.
    """
    tokens = [Token(t.kind, t.policy or offer.policy, t.id) for t in offer.tokens if t.kind == kind]
    if not tokens:
        kinds = ", ".join(sorted({t.kind for t in offer.tokens})) or "no way to log in"
        advice = "; give username and password (on the command line --username)" if "username" in kinds else ""
        raise NoUsableEndpoint(f"the server does not take a login of the kind {kind} here; it offers: {kinds}{advice}")
    if kind == "anonymous":
        return tokens[0]
    hidden = offer.mode == "SignAndEncrypt" and offer.policy in STRONG
    for policy in _login_policies(kind, security, hidden=hidden, plain=plain):
        for token in tokens:
            if token.policy == policy:
                return token
    plain_tokens = [token for token in tokens if token.policy == "None"]
    if kind == "username" and plain_tokens and (offer.mode == "SignAndEncrypt" or plain):
        return plain_tokens[0]
    if kind == "username" and plain_tokens:
        raise NoUsableEndpoint(
            "the password would travel in clear; use security: auto, or accept it with plain_password: true"
        )
    advice = "" if hidden else "; security: auto with security_mode: SignAndEncrypt protects it better"
    advice += ", or accept it with plain_password: true" if kind == "username" and not plain else ""
    raise NoUsableEndpoint(f"the server protects the login with {', '.join(t.policy for t in tokens)} only{advice}")


def _login_policies(kind: TokenKind, security: str, *, hidden: bool, plain: bool) -> tuple[str, ...]:
    """Return the policies that may encrypt a login, strongest first.

    Basic256 encrypts a password just as Basic256Sha256 does (RSA-OAEP; SHA-1 is in its signatures only), and servers on
    Milo up to 0.6 have nothing else to log in with; its signatures are good enough where the channel hides them.
    """
    configured = (security,) if security in SHA1 else ()
    if kind == "username":
        return (*STRONG, "Basic256", *(SHA1 if plain else configured))
    return (*STRONG, *(("Basic256",) if hidden else ()), *configured)
