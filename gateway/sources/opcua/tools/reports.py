"""What the commands show of a server: its endpoints, its nodes, a tag file, the values of tags."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import yaml

from gateway.core.clock import SystemClock
from gateway.core.errors import Permanent
from gateway.core.plural import counted
from gateway.core.ports.device_tools import Progress
from gateway.core.report import Item, Note, RawText, Report, Table
from gateway.sources.opcua.client.walk import MOST_VISITED
from gateway.sources.opcua.config.browse import MOST_DEPTH, Browse
from gateway.sources.opcua.config.device import OpcUaDevice, OpcUaTag
from gateway.sources.opcua.config.pki_folder import DEFAULT_FOLDER
from gateway.sources.opcua.security.endpoints import SHA1, STRONG, Endpoint
from gateway.sources.opcua.security.peer_certificate import read_chain
from gateway.sources.opcua.source.tag_discovery import found_file, unwritable
from gateway.sources.opcua.tools import browse_tool
from gateway.sources.opcua.tools.browse_tool import BrowsedNode, session, walker
from gateway.sources.opcua.tools.history_check import unreadable
from gateway.sources.opcua.tools.node_tree import json_lines, tree_of

_NAMED: Final = 8


@contextmanager
def _answerable() -> Iterator[None]:
    """Turn what makes no sense in a server's answer (an address, a certificate) into Permanent."""
    try:
        yield
    except ValueError as error:  # whose words are those of a program
        raise Permanent("the server's answer made no sense") from error


async def discover(config: OpcUaDevice) -> Report:
    """Return endpoints, policies, logins and certificates, and how to go on. Raises NotConnected, Permanent."""
    with _answerable():
        offers, servers = await browse_tool.discover(config)
    items: list[Item] = [line for offer in offers for line in _offer(offer)]
    logins = {token.kind for offer in offers for token in offer.tokens}
    if logins:
        login = "" if "anonymous" in logins else " --username NAME"
        return Report([*items, Note(f"next: gateway browse {config.url}{login}{_options(offers)}")])
    nobody = f"nobody can log in here: a server for discovery, which knows {counted(len(servers), 'server')}"
    return Report([*items, Note(nobody), *(Note(f"    {place}  {uri}") for uri, place in servers)])


def _offer(offer: Endpoint) -> Iterator[str]:
    try:
        shown = read_chain(offer.certificate)[0].fingerprint if offer.certificate else ""
    except ValueError as error:
        shown = f"unreadable: it {error}"
    security = "no security" if offer.policy == "None" else f"{offer.policy} {offer.mode}"
    yield f"{security}  {offer.url}"
    yield f"    application  {offer.application_uri}"
    yield f"    login        {', '.join(dict.fromkeys(token.kind for token in offer.tokens))}"
    if shown:
        yield f"    certificate  {shown}"


def _options(offers: Sequence[Endpoint]) -> str:
    """Return what the strongest endpoint takes on the command line, where it is not the default."""
    there = {(offer.policy, offer.mode) for offer in offers}
    for policies in (STRONG, SHA1):
        for mode, signed in (("SignAndEncrypt", ""), ("Sign", " --security-mode Sign")):
            if found := [policy for policy in policies if (policy, mode) in there]:
                return signed if policies is STRONG else f" --security {found[0]}{signed}"
    return " --security none"


async def tag_file(config: OpcUaDevice, wanted: Browse, most: int, progress: Progress) -> Report:
    """Return a tag file of the variables below a root, and what it leaves out. Raises NotConnected, Permanent."""
    with _answerable():
        async with session(config) as connection:
            progress.update("browsing")
            findings = await walker(connection).find([wanted.model_copy(update={"most": most})])
    items: list[Item] = [RawText(found_file(findings.tags)), Note(counted(len(findings.tags), "tag"))]
    left = [
        (one.count, why, str(one))
        for one, why in (
            (findings.beyond, f"beyond --most {most} (--most {most + findings.beyond.count} takes them)"),
            (findings.no_numbers, "not a single number (--all takes them)"),
            (findings.by_members, "told by the variables below them (--members also takes them beside these)"),
            (findings.properties, "properties of variables (--properties takes them)"),
            (findings.unwanted, "not wanted by --include, --exclude or --type"),
            (findings.unopened, f"objects at --depth {wanted.depth}, not looked into ({_deeper(wanted)})"),
        )
    ]
    if names := unwritable(findings.tags):
        left.append((len(names), "whose node ids have characters that do not survive a CSV file", _first(names)))
    items += [Note(f"left out: {count} {why}: {names}") for count, why, names in left if count]
    if findings.ended:
        items.append(Note(f"the server has more than {MOST_VISITED} nodes: the walk has ended; --root NODE chooses"))
    if findings.tags:
        items.append(Note("next: this as tags/NAME.csv of the configuration, and as devices/NAME.yaml:"))
        items.append(RawText(_device_file(config), is_note=True))
    elif not (findings.no_numbers or findings.properties):
        items.append(Note(_nothing(wanted)))
    return Report(items, is_complete=not findings.is_cut)


def _device_file(config: OpcUaDevice) -> str:
    """Return what a device file needs to reach the same server as the command did."""
    keys: dict[str, object] = {"protocol": "opcua", "url": config.url}
    keys |= {} if config.security == "auto" else {"security": config.security}
    keys |= {} if config.security_mode == "SignAndEncrypt" else {"security_mode": config.security_mode}
    keys |= {} if config.check_host else {"check_host": False}
    if config.accept:
        keys |= {"accept": [{"certificate": one.certificate, "although": list(one.although)} for one in config.accept]}
    keys |= {} if config.username is None else {"username": config.username}
    if config.pki != DEFAULT_FOLDER:  # who cannot write there cannot write beside it
        keys |= {"pki": str(config.pki.absolute()), "found": str(config.pki.absolute().parent / "found")}
    text = yaml.safe_dump(keys | {"tag_file": "NAME.csv"}, sort_keys=False, width=1000)
    note = "# the password as the variable GATEWAY__DEVICES__NAME__PASSWORD\n" if "username" in keys else ""
    return f"{text}{note}"


async def node_tree(config: OpcUaDevice, wanted: Browse, most: int, progress: Progress, *, as_json: bool = False) -> Report:
    """Return objects and variables with their values, a tree or JSON, at most `most`. Raises NotConnected, Permanent."""
    found: list[BrowsedNode] = []
    with _answerable():
        async with session(config) as connection:
            progress.update("browsing")
            async for level in browse_tool.browse(connection, config, wanted, most + 1):
                found += level
                progress.update(f"browsing: {counted(len(found), 'node')}")
    shown = found[:most]
    items: list[Item] = [json_lines(shown) if as_json else tree_of(f"{config.url} {wanted.root}", shown)]
    if len(found) > most:
        items.append(Note(f"more than {counted(most, 'node')}: the rest is not shown; --most N or --root NODE chooses"))
    unopened = sum(not one.is_variable and len(one.path) == wanted.depth for one in found)
    if unopened:
        items.append(Note(f"{counted(unopened, 'object')} not looked into: {_deeper(wanted)}"))
    if not any(one.is_variable for one in found):
        return Report([*items, Note(_nothing(wanted))])
    advice = "next: the same with --csv > config/tags/NAME.csv writes a tag file, and names what it leaves out"
    return Report([*items, Note(advice)], is_complete=len(found) <= most)


def _deeper(wanted: Browse) -> str:
    return "--depth N goes deeper" if wanted.depth < MOST_DEPTH else "--root NODE begins further down"


def _nothing(wanted: Browse) -> str:
    """Return why a walk may have found no variable at all."""
    if wanted.include == ("*",) and not wanted.exclude and wanted.type is None:
        return f"there is no variable below {wanted.root}"
    return (
        "no variable is wanted by --include, --exclude and --type: a pattern is compared with the whole name, the names "
        "below the root joined by dots (Line.Motor.Speed): *Speed finds it, Speed does not"
    )


async def tag_values(config: OpcUaDevice, tags: Sequence[OpcUaTag]) -> Report:
    """Return the present values of tags, and why one is not good or its history cannot be read.

    Raises NotConnected, Permanent.
    """
    with _answerable():
        async with session(config) as connection:
            found = await browse_tool.read(connection, config, tags)
            unkept = await unreadable(connection, config, tags, SystemClock()) if config.history else {}
    rows = [(one.path[-1], one.type, one.value, one.unit, one.range, one.status or "Good", one.node) for one in found]
    reasons: dict[str, list[str]] = {}
    for one in found:
        if one.why:
            reasons.setdefault(f"{one.status}: {one.why}", []).append(one.path[-1])
    notes = [Note(f"{_first(names)}: {reason}") for reason, names in reasons.items()]
    notes += [Note(f"history of {_first(names)}: {reason}") for reason, names in unkept.items()]
    headings = ("tag", "type", "value", "unit", "range", "status", "node")  # the longest word at the end
    numbers = {one.path[-1]: one.number for one in found if one.number is not None}
    return Report([Table(headings, rows), *notes], not any(one.status for one in found), numbers)


def _first(names: Sequence[str]) -> str:
    return f"{', '.join(names[:_NAMED])}{', ...' if len(names) > _NAMED else ''}"
