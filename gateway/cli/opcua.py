"""`gateway discover` and `gateway browse`, and reading OPC UA nodes: servers as people look at them."""

import asyncio
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar

import typer
import yaml
from pydantic import ValidationError
from rich.markup import escape
from rich.tree import Tree

from gateway.cli.output import Output, address_hint, listing, visible
from gateway.cli.problems import EXIT_CONFIG, print_problems
from gateway.core.clock import SystemClock
from gateway.core.errors import ConfigError, NotConnected
from gateway.core.plural import counted
from gateway.settings import load
from gateway.sources.opcua.config.browse import MOST_DEPTH, Browse
from gateway.sources.opcua.config.device import OpcUaDevice, OpcUaTag
from gateway.sources.opcua.config.pki_folder import DEFAULT_FOLDER
from gateway.sources.opcua.security.endpoints import SHA1, STRONG, Offer

T = TypeVar("T")
_LONGEST_VALUE = 60
_NAMED = 8


def device(url: str, **keys: object) -> OpcUaDevice:
    """The model of a server given by options; exits with code 2 when they are wrong."""
    given = {key: value for key, value in keys.items() if value is not None and (value != "" or key == "password")}
    try:
        return OpcUaDevice.model_validate({"name": "server", "protocol": "opcua", "url": url, **given})
    except ValidationError as error:
        raise _refused(error) from None


def _refused(error: ValidationError) -> typer.Exit:
    """Say which options are wrong, by their names on the command line."""
    for problem in error.errors():
        option = ".".join(map(str, problem["loc"][:1])).replace("_", "-")
        name = f"{'' if option == 'url' else '--'}{option}: " if option else ""
        if "expected" in problem.get("ctx", {}):
            typer.echo(f"{name}{problem['input']!r} is not allowed; expected {problem['ctx']['expected']}", err=True)
        else:
            typer.echo(f"{name}{problem['msg'].removeprefix('Value error, ')}", err=True)
    return typer.Exit(2)


def discover(url: str) -> int:
    """Print endpoints, policies, logins and certificates; returns the exit code."""
    from gateway.sources.opcua.security.certificates import fingerprint, load_chain
    from gateway.sources.opcua.tools.browse_tool import discover as ask

    offers, servers = _run(ask(device(url)))
    for offer in offers:
        try:
            chain = load_chain(offer.certificate)
        except ValueError as error:
            shown = f"unreadable: {error}"
        else:
            shown = fingerprint(chain[0]) if chain else ""
        logins = ", ".join(dict.fromkeys(token.kind for token in offer.tokens))
        typer.echo(f"{_security(offer)}  {offer.url}\n    application  {offer.application_uri}\n    login        {logins}")
        if shown:
            typer.echo(f"    certificate  {shown}")
    kinds = {token.kind for offer in offers for token in offer.tokens}
    if not kinds:
        typer.echo(
            f"nobody can log in here: a server for discovery, which knows {counted(len(servers), 'server')}", err=True
        )
        for uri, place in servers:
            typer.echo(f"    {place}  {uri}", err=True)
        return 0
    login = "" if "anonymous" in kinds else " --username NAME"
    typer.echo(f"next: gateway browse {url}{login}{_options(offers)}", err=True)
    return 0


def _options(offers: Sequence[Offer]) -> str:
    """What the strongest endpoint takes on the command line, where it is not the default."""
    there = {(offer.policy, offer.mode) for offer in offers}
    for policies in (STRONG, SHA1):
        for mode, signed in (("SignAndEncrypt", ""), ("Sign", " --security-mode Sign")):
            if found := [policy for policy in policies if (policy, mode) in there]:
                return signed if policies is STRONG else f" --security {found[0]}{signed}"
    return " --security none"


def _security(offer: Offer) -> str:
    return "no security" if offer.policy == "None" else f"{offer.policy} {offer.mode}"


def entry(**keys: object) -> Browse:
    """What to browse, given by options; exits with code 2 when they are wrong."""
    try:
        return Browse.model_validate({key: value for key, value in keys.items() if value})
    except ValidationError as error:
        raise _refused(error) from None


def browse(config: OpcUaDevice, wanted: Browse, most: int, *, as_csv: bool) -> int:
    """Print the tree below its root, or a tag file of its numeric variables; returns the exit code."""
    return _run(_write_tags(config, wanted, most) if as_csv else _show_tree(config, wanted, most))


def find(folder: Path, name: str) -> int:
    """Find the tags of a configured device anew and say what has changed; returns the exit code."""
    from gateway.sources.opcua.port.measures import measures_path
    from gateway.sources.opcua.source.tag_discovery import found_path
    from gateway.sources.opcua.tools.refresh_tags import refresh_tags

    try:
        settings = load(folder)
    except ConfigError as error:
        print_problems(error, folder)
        return EXIT_CONFIG
    entries = {entry.config.name: entry for entry in settings.entries if isinstance(entry.config, OpcUaDevice)}
    if name not in entries:
        there = f"no OPC UA device {name!r} is configured; there are: {', '.join(entries) or 'none'}"
        typer.echo(there + address_hint(name, "opc.tcp"), err=True)
        return EXIT_CONFIG
    config = entries[name].config
    change = _run(refresh_tags(config, entries[name].tags, SystemClock()))
    if change is None:
        typer.echo(f"{name}: nothing has changed")
    else:
        counts = f"{len(change.added)} new, {len(change.removed)} gone, {len(change.altered)} altered"
        more = "; there are more than most: allows" if change.cut else ""
        place = found_path(config) or measures_path(config)
        typer.echo(f"{name}: {counts}{more}; in {place}, taken at the next start of the gateway")
    return 0


async def _write_tags(config: OpcUaDevice, wanted: Browse, most: int) -> int:
    from gateway.sources.opcua.client.browser import MOST_VISITED
    from gateway.sources.opcua.source.tag_discovery import found_file
    from gateway.sources.opcua.tools.browse_tool import session, walker

    async with session(config) as connection:
        with Output(stderr=True).status("browsing"):
            findings = await walker(connection).find([wanted.model_copy(update={"most": most})])
    typer.echo(found_file(findings.tags), nl=False)
    typer.echo(counted(len(findings.tags), "tag"), err=True)
    left = (
        (findings.beyond, f"beyond --most {most} (--most {most + len(findings.beyond)} takes them)"),
        (findings.no_numbers, "not a single number (--all takes them)"),
        (findings.unwanted, "not wanted by --include, --exclude or --type"),
        (findings.unopened, f"objects at --depth {wanted.depth}, not looked into ({_deeper(wanted)})"),
    )
    for names, why in left:
        if names:
            typer.echo(f"left out: {len(names)} {why}: {_first(names)}", err=True)
    if findings.ended:
        typer.echo(f"the server has more than {MOST_VISITED} nodes: the walk has ended; --root NODE chooses", err=True)
    if not findings.tags:
        if not findings.no_numbers:
            typer.echo(_nothing(wanted), err=True)
        return int(findings.is_cut)
    typer.echo("next: this as tags/NAME.csv of the configuration, and as devices/NAME.yaml:", err=True)
    typer.echo(_device_file(config), nl=False, err=True)
    return int(findings.is_cut)


def _device_file(config: OpcUaDevice) -> str:
    """What a device file needs to reach the same server as the command did."""
    keys: dict[str, str | bool] = {"protocol": "opcua", "url": config.url}
    keys |= {} if config.security == "auto" else {"security": config.security}
    keys |= {} if config.security_mode == "SignAndEncrypt" else {"security_mode": config.security_mode}
    keys |= {} if config.check_host else {"check_host": False}
    keys |= {} if config.username is None else {"username": config.username}
    if config.pki != DEFAULT_FOLDER:  # who cannot write there cannot write beside it
        keys |= {"pki": str(config.pki.absolute()), "found": str(config.pki.absolute().parent / "found")}
    text = yaml.safe_dump(keys | {"tag_file": "NAME.csv"}, sort_keys=False, allow_unicode=True, width=1000)
    note = "# the password as the variable GATEWAY__DEVICES__NAME__PASSWORD\n" if "username" in keys else ""
    return f"{text}{note}"


async def _show_tree(config: OpcUaDevice, wanted: Browse, most: int) -> int:
    from gateway.sources.opcua.tools.browse_tool import browse as walk
    from gateway.sources.opcua.tools.browse_tool import session

    found = []
    async with session(config) as connection:
        with Output(stderr=True).status("browsing") as status:
            async for level in walk(connection, config, wanted, most + 1):
                found += level
                status.update(f"browsing: {counted(len(found), 'node')}")
    tree = Tree(escape(f"{config.url} {wanted.root}"))
    branches: dict[tuple[int, ...], Tree] = {(): tree}
    for node in found[:most]:
        branches[node.place] = branches[node.place[:-1]].add(_line(node))
    Output().whole(tree)
    if len(found) > most:
        typer.echo(f"more than {counted(most, 'node')}: the rest is not shown; --most N or --root NODE chooses", err=True)
    unopened = sum(not one.is_variable and len(one.path) == wanted.depth for one in found)
    if unopened:
        typer.echo(f"{counted(unopened, 'object')} not looked into: {_deeper(wanted)}", err=True)
    if not any(one.is_variable for one in found):
        typer.echo(_nothing(wanted), err=True)
        return 0
    typer.echo("next: the same with --csv > config/tags/NAME.csv writes a tag file, and names what it leaves out", err=True)
    return int(len(found) > most)


def _deeper(wanted: Browse) -> str:
    return "--depth N goes deeper" if wanted.depth < MOST_DEPTH else "--root NODE begins further down"


def _nothing(wanted: Browse) -> str:
    """Why a walk may have found no variable at all."""
    if wanted.include == ("*",) and not wanted.exclude and wanted.type is None:
        return f"there is no variable below {wanted.root}"
    return (
        "no variable is wanted by --include, --exclude and --type: a pattern is compared with the whole name, the names "
        "below the root joined by dots (Line.Motor.Speed): *Speed finds it, Speed does not"
    )


def _line(node: Any) -> str:
    value = node.value if len(node.value) <= _LONGEST_VALUE else f"{node.value[:_LONGEST_VALUE]}..."
    name, address, value = map(visible, (node.path[-1], node.node, value))
    head = f"[bold]{escape(name)}[/] [dim]{escape(address)}[/]"
    if not node.is_variable:
        return head
    shown = f"{node.type} [cyan]{escape(value)}[/] {escape(node.unit)}"
    return f"{head} {shown} [dim]{node.range}[/] [red]{node.status}[/]".rstrip()


def nodes(texts: Sequence[str]) -> list[OpcUaTag]:
    """Tags that are nothing but NodeIds or browse paths; exits with code 2 when one is neither."""
    try:
        return [OpcUaTag.model_validate({"name": "node", "node": text}) for text in texts]
    except ValidationError as error:
        typer.echo(error.errors()[0]["msg"].removeprefix("Value error, "), err=True)
        raise typer.Exit(2) from None


def read_opcua(config: OpcUaDevice, tags: Sequence[OpcUaTag]) -> int:
    """Print the present values of tags; returns the exit code, 1 when one of them is not good."""
    return _run(_read(config, tags))


async def _read(config: OpcUaDevice, tags: Sequence[OpcUaTag]) -> int:
    from gateway.sources.opcua.tools.browse_tool import read, session
    from gateway.sources.opcua.tools.history_check import unreadable

    async with session(config) as connection:
        found = await read(connection, config, tags)
        unkept = await unreadable(connection, config, tags, SystemClock()) if config.history else {}
    table = listing("tag", "type", "value", "unit", "range", "status", "node")  # the longest word at the end
    for one in found:
        name, value, unit, node = (escape(visible(text)) for text in (one.path[-1], one.value, one.unit, one.node))
        table.add_row(name, one.type, value, unit, one.range, one.status or "Good", node)
    Output().whole(table)
    reasons: dict[str, list[str]] = {}
    for one in found:
        if one.why:
            reasons.setdefault(f"{one.status}: {one.why}", []).append(one.path[-1])
    for reason, names in reasons.items():
        typer.echo(f"{_first(names)}: {reason}", err=True)
    for reason, names in unkept.items():
        typer.echo(f"history of {_first(names)}: {reason}", err=True)
    return int(any(one.status for one in found))


def _first(names: Sequence[str]) -> str:
    return f"{', '.join(names[:_NAMED])}{', ...' if len(names) > _NAMED else ''}"


def _run(work: Coroutine[Any, Any, T]) -> T:
    try:
        return asyncio.run(work)
    except (NotConnected, ValueError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
