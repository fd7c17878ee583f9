"""Status codes in words: what happened, and what to do about it. Pure."""

from typing import Final

from gateway.sources.opcua.config.value_selection import NO_ELEMENT, NO_FIELD, NO_RANGE
from gateway.sources.opcua.status.codes import FILTER_NOT_ALLOWED, RENAMED, TOO_MANY_ITEMS, status_name

_MEANING: Final = {
    FILTER_NOT_ALLOWED: "a deadband in percent needs a node with EURange",
    0x80440000: "the server cannot do this server_deadband or trigger for it",
    0x808E0000: "the server cannot do this server_deadband for it",
    NO_RANGE: "the server ignores index; element works with every server",
    0x80020000: "the server has a fault of its own, see its log",
    0x80030000: "the server has no memory left; read fewer tags, or restart it",
    0x80040000: "the server has something used up; read fewer tags, or restart it",
    0x80080000: "the value is too large: 65,536 elements or 1 MiB of text are taken; index reads a part of an array",
    0x800A0000: "the server did not get it done in time; read fewer tags, or less often",
    0x800B0000: "the server has no such service",
    0x801F0000: "this user may not; give it the right on the server, or log in as another one",
    0x80200000: "the server does not take this login: check username and password, and the kinds of login that it takes",
    0x80210000: "check username and password, or user_certificate, and what the server makes of them",
    0x80330000: "the server has no such node, or not its namespace; gateway browse shows what it has",
    0x80340000: "the server has no such node, or not its namespace; gateway browse shows what it has",
    0x80350000: "it is no variable; gateway browse --root shows those below it",
    NO_ELEMENT: "the value has no such element",
    NO_FIELD: "the value has no such field",
    RENAMED: "the server gives this NodeId to another node than before, as its browse name shows; a browse path as address "
    "is safe from that; if the node was only renamed, take the tag out for one reload",
    0x806F0000: "no node has this path; names are compared exactly, each with its namespace (2:Speed)",
    0x80310000: "the server has no connection to its device; look there",
    0x803A0000: "the node cannot be read, only written",
    0x804B0000: "the server can answer too few questions at a time; end other clients that read history",
    0x80550000: "the server does not take this policy; where it was only asked what it offers, its discovery is off",
    0x80560000: "all sessions of the server are taken; end other clients, or wait until those that are gone time out",
    0x80710000: "the server cannot read this node's history in this way",
    0x80720000: "the server keeps no history that can be read; switch it on there",
    0x80770000: "the server has no subscription left; end other clients, or use mode: poll",
    0x807D0000: "the server has no connection left; end other clients",
    0x80830000: "the server does not know this address; it wants its own host name or path in it, as its documentation or "
    "another client shows; servers made with Milo often tell it at opc.tcp://HOST:PORT/discovery",
    0x808B0000: "the device behind the server has a fault; look there",
    0x808D0000: "the server, or what is behind it, is out of service; switch it on there",
    0x809E0000: "the server cannot reach its archive; look there",
    0x80B80000: "a single value is too large for the server's messages",
    0x80B90000: "the answer, or a single value, is too large for one message; index reads a part of an array",
    TOO_MANY_ITEMS: "the server watches no more nodes; end other clients, or use mode: poll",
    0x80E60000: "the server wants encryption for this; security: auto, security_mode: SignAndEncrypt",
    0x80EE0000: "the server is too busy; read fewer tags, or less often",
    0x810E0000: "the server's licence has expired",
    0x810F0000: "the server's licence allows no more",
}  # fmt: skip


def explained(status: int) -> str:
    """`BadNotReadable: the node cannot be read, only written`; the name alone where that says it all."""
    meaning = _MEANING.get(status & 0xFFFF0000)
    return f"{status_name(status)}: {meaning}" if meaning else status_name(status)
