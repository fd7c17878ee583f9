"""Whether a server's certificate may be trusted (OPC UA Part 4, 6.1.3). Pure: lists in, a verdict out."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric import rsa

from gateway.core.foreign_text import clean
from gateway.sources.opcua.security import rules
from gateway.sources.opcua.security.objection import Objection
from gateway.sources.opcua.security.path import TrustLists, trusted_path
from gateway.sources.opcua.security.peer_certificate import PeerCertificate
from gateway.sources.opcua.security.revocation import SignedLists, is_revoked, list_objections

_NAMED = 5
"""Unreadable parts that a refusal names."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What the certificate must say.

    host: from the device's url, "" for any; small_keys: the policy is an old one that takes RSA keys of 1024 bits; accepted:
    pairs of fingerprint and objection that the configuration accepts.
    """

    application_uri: str
    host: str
    small_keys: bool = False
    accepted: frozenset[tuple[str, str]] = frozenset()


class Refused(Exception):
    """The certificate is refused; the text says why. unknown: trusting it is what would help.

    objections: what is wrong with it besides, which the configuration may accept.
    """

    def __init__(self, text: str, *, unknown: bool = False, objections: Sequence[Objection] = ()) -> None:
        self.unknown = unknown
        self.objections = tuple(objections)
        super().__init__(text)


def verify(chain: Sequence[PeerCertificate], lists: TrustLists, expected: Expected, now: datetime) -> tuple[Objection, ...]:
    """Return the objections that the configuration accepts, if the first certificate of `chain` may be trusted.

    Raises Refused, which names all other objections at once. Not even the configuration accepts a certificate that is not
    trusted, was revoked, or has no RSA key.
    """
    leaf = chain[0]
    if not isinstance(leaf.public_key, rsa.RSAPublicKey):
        raise Refused("the server's certificate has no RSA key; elliptic curves are not supported")
    path = trusted_path(chain, lists, now)
    signed = SignedLists(lists.crls)
    authorities = [*lists.trusted, *lists.issuers, *chain[1:]]  # one that the server alone shows may have a list here, too
    for one in path or [leaf]:
        if is_revoked(one, authorities, signed):
            raise Refused(f"the certificate of {clean(one.holder)} was revoked by its authority; renew it on the server")
    found = tuple(_objections(path or [leaf], signed, expected, now))
    left = [one for one in found if (one.fingerprint, one.kind) not in expected.accepted]
    if not path:
        unread = f"; of it cannot be read: {', '.join(leaf.lost[:_NAMED])}" if leaf.lost else ""
        text = f"the server's certificate is not trusted (SHA-256 {leaf.fingerprint}){_former(leaf, lists)}{unread}"
        raise Refused(text, unknown=True, objections=left)
    if left:
        raise Refused("the server's certificate is trusted, but", objections=left)
    return found


def _objections(
    path: Sequence[PeerCertificate], signed: SignedLists, expected: Expected, now: datetime
) -> Iterable[Objection]:
    leaf = path[0]
    bits = rules.SMALLEST_SHA1_BITS if expected.small_keys else rules.SMALLEST_RSA_BITS
    for one in path:
        yield from rules.time_objections(one, now)
        yield from rules.key_objections(one, bits)
        yield from rules.extension_objections(one)
    yield from rules.server_objections(leaf)
    yield from rules.application_objections(leaf, expected.application_uri)
    yield from rules.host_objections(leaf, expected.host)
    for place in range(1, len(path)):
        yield from rules.authority_objections(path, place)
        yield from list_objections(path[place], signed, now)


def _former(leaf: PeerCertificate, lists: TrustLists) -> str:
    uris = set(leaf.application_uris)
    former = [one for one in lists.trusted if uris & set(one.application_uris)]
    if not former:
        return ""
    return (
        f"; so far another one of the same server was trusted ({former[0].fingerprint[:16]}...): was it renewed on purpose?"
    )
