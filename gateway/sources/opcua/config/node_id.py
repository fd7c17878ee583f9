"""NodeIds as people write them (OPC UA Part 6, 5.3.1.10), parsed without the protocol library."""

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import unquote
from uuid import UUID

_SHAPE = re.compile(r"(?:ns=(?P<namespace>[^;]*);|nsu=(?P<uri>[^;]+);)?(?P<kind>[isgb])=(?P<identifier>.*)", re.DOTALL)
_MOST_DIGITS = 20
_EXPECTED = (
    "a NodeId such as ns=2;s=Line/Speed, ns=3;i=1001, i=2258, ns=2;g=UUID, ns=2;b=BASE64 or nsu=URI;s=Speed, or a browse "
    "path such as /Objects/2:Line/2:Speed"
)


@dataclass(frozen=True, slots=True)
class NodeAddress:
    """One node of one server. kind: `i` numeric (uint32), `s` string, `g` GUID, `b` opaque bytes.

    uri: the namespace's URI where it was given instead of an index, else ""; the session's NamespaceArray has the index.
    """

    namespace: int
    kind: Literal["i", "s", "g", "b"]
    identifier: int | str | UUID | bytes
    uri: str = ""


def parse_node_id(text: object) -> NodeAddress:
    """Take a NodeId apart. Raises ValueError that names what is wrong and what was expected."""
    if not isinstance(text, str):
        raise ValueError(f"{text!r} is not text; expected {_EXPECTED}")
    match = _SHAPE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a NodeId; expected {_EXPECTED}")
    namespace = 0 if match["namespace"] is None else _number(match["namespace"], 2**16, text, "ns")
    kind, identifier = match["kind"], match["identifier"]
    uri = unquote(match["uri"] or "")
    if kind == "i":
        return NodeAddress(namespace, "i", _number(identifier, 2**32, text, "i"), uri)
    if kind == "s":
        if not 1 <= len(identifier) <= 4096:
            raise ValueError(f"{text!r}: the identifier after s= must have 1 to 4096 characters")
        return NodeAddress(namespace, "s", identifier, uri)
    if kind == "g":
        return NodeAddress(namespace, "g", _guid(identifier, text), uri)
    return NodeAddress(namespace, "b", _opaque(identifier, text), uri)


def _number(digits: str, below: int, text: str, name: str) -> int:
    if not (digits.isascii() and digits.isdigit() and len(digits) <= _MOST_DIGITS) or int(digits) >= below:
        raise ValueError(f"{text!r}: {name}={digits} is out of range; expected a number from 0 to {below - 1}")
    return int(digits)


def _guid(identifier: str, text: str) -> UUID:
    try:
        return UUID(identifier)
    except ValueError:
        raise ValueError(f"{text!r}: expected a GUID after g=, such as 09087e75-8e5e-499b-954f-f2a9603db28a") from None


def _opaque(identifier: str, text: str) -> bytes:
    try:
        return base64.b64decode(identifier, validate=True)
    except binascii.Error:
        raise ValueError(f"{text!r}: expected base64 after b=, such as b=M/RbKBsRVkePCePcx24oRA==") from None
