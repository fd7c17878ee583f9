"""`gateway discover` and `gateway browse`, and reading OPC UA nodes: servers as people look at them."""

import asyncio
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar

import typer
from pydantic import BaseModel, ValidationError
from rich.markup import escape
from rich.tree import Tree

from gateway.cli.output import Output, address_hint, listing
from gateway.cli.problems import EXIT_CONFIG, print_problems
from gateway.core.clock import SystemClock
from gateway.core.errors import ConfigError, NotConnected
from gateway.core.wording import counted
from gateway.settings import load
from gateway.settings.problems import in_words
from gateway.sources.opcua.config import OpcUaDevice, OpcUaTag
from gateway.sources.opcua.model.browsing import Browse
from gateway.sources.opcua.security.endpoints import STRONG, Offer

T = TypeVar("T")
_LONGEST_VALUE = 60
_NAMED = 8


def device(url: str, **keys: object) -> OpcUaDevice:
    """The model of a server given by options; exits with code 2 when they are wrong."""
    given = {key: value for key, value in keys.items() if value is not None and (value != "" or key == "password")}
    try:
        return OpcUaDevice.model_validate({"name": "server", "protocol": "opcua", "url": url, **given})
    except ValidationError as error:
        raise _refused(error, OpcUaDevice) from None


def discover(url: str) -> int:
    """Print endpoints, policies, logins and certificates; returns the exit code."""
    from gateway.sources.opcua.model.explore import discover as ask
    from gateway.sources.opcua.security.certificates import fingerprint, load_chain

    offers = _run(ask(device(url)))
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
    login = "" if "anonymous" in kinds else " --username NAME"
    secure = "" if {offer.policy for offer in offers} & set(STRONG) else " --security none"
    typer.echo(f"next: gateway browse {url}{login}{secure}", err=True)
    return 0


def _security(offer: Offer) -> str:
    return "no security" if offer.policy == "None" else f"{offer.policy} {offer.mode}"


def entry(**keys: object) -> Browse:
    """What to browse, given by options; exits with code 2 when they are wrong."""
    try:
        return Browse.model_validate({key: value for key, value in keys.items() if value})
    except ValidationError as error:
        raise _refused(error, Browse) from None


def browse(config: OpcUaDevice, wanted: Browse, most: int, *, as_csv: bool) -> int:
    """Print the tree below its root, or a tag file of its numeric variables; returns the exit code."""
    return _run(_write_tags(config, wanted, most) if as_csv else _show_tree(config, wanted, most))


def find(folder: Path, name: str) -> int:
    """Find the tags of a configured device anew and say what has changed; returns the exit code."""
    from gateway.sources.opcua.model.finding import find as ask
    from gateway.sources.opcua.model.finding import found_path
    from gateway.sources.opcua.model.units import measures_path

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
    change = _run(ask(config, entries[name].tags, SystemClock()))
    if change is None:
        typer.echo(f"{name}: nothing has changed")
    else:
        counts = f"{len(change.added)} new, {len(change.removed)} gone, {len(change.altered)} altered"
        more = "; there are more than most: allows" if change.cut else ""
        place = found_path(config) or measures_path(config)
        typer.echo(f"{name}: {counts}{more}; in {place}, taken at the next start of the gateway")
    return 0


async def _write_tags(config: OpcUaDevice, wanted: Browse, most: int) -> int:
    from gateway.sources.opcua.model.explore import session, walker
    from gateway.sources.opcua.model.finding import found_file
    from gateway.sources.opcua.model.walking import MOST_VISITED

    async with session(config) as connection:
        with Output(stderr=True).status("browsing"):
            findings = await walker(connection).find([wanted.model_copy(update={"most": most})])
    typer.echo(found_file(findings.tags), nl=False)
    typer.echo(counted(len(findings.tags), "tag"), err=True)
    left = (
        (findings.beyond, f"beyond --most {most}: --most {most + len(findings.beyond)} takes them"),
        (findings.no_numbers, "are no single numbers: --all takes them"),
        (findings.unwanted, "are left out by --include, --exclude or --type"),
        (findings.unopened, f"are objects that --depth {wanted.depth} does not look into"),
    )
    for names, why in left:
        if names:
            shown = f"{', '.join(names[:_NAMED])}{', ...' if len(names) > _NAMED else ''}"
            typer.echo(f"left out: {len(names)} {why}: {shown}", err=True)
    if findings.ended:
        typer.echo(f"the server has more than {MOST_VISITED} nodes: the walk has ended; --root NODE chooses", err=True)
    typer.echo(f"next: protocol: opcua, url: {config.url} and tag_file: in a file of config/devices/", err=True)
    return int(findings.is_cut)


async def _show_tree(config: OpcUaDevice, wanted: Browse, most: int) -> int:
    from gateway.sources.opcua.model.explore import browse as walk
    from gateway.sources.opcua.model.explore import session

    found = []
    async with session(config) as connection:
        with Output(stderr=True).status("browsing") as status:
            async for level in walk(connection, wanted, most + 1):
                found += level
                status.update(f"browsing: {counted(len(found), 'node')}")
    tree = Tree(escape(f"{config.url} {wanted.root}"))
    branches: dict[tuple[str, ...], Tree] = {(): tree}
    for node in found[:most]:
        branches[node.path] = branches.get(node.path[:-1], tree).add(_line(node))
    Output().print(tree)
    if len(found) > most:
        typer.echo(f"more than {counted(most, 'node')}: the rest is not shown; --most N or --root NODE chooses", err=True)
    unopened = sum(not one.is_variable and len(one.path) == wanted.depth for one in found)
    if unopened:
        typer.echo(f"{counted(unopened, 'object')} not looked into: --depth N goes deeper", err=True)
    typer.echo("next: the same with --csv > config/tags/NAME.csv writes a tag file, and names what it leaves out", err=True)
    return int(len(found) > most)


def _line(node: Any) -> str:
    value = node.value if len(node.value) <= _LONGEST_VALUE else f"{node.value[:_LONGEST_VALUE]}..."
    head = f"[bold]{escape(node.path[-1])}[/] [dim]{escape(node.node)}[/]"
    if not node.is_variable:
        return head
    shown = f"{node.type} [cyan]{escape(value)}[/] {escape(node.unit)}"
    return f"{head} {shown} [dim]{node.range}[/] [red]{node.status}[/]".rstrip()


def nodes(texts: Sequence[str]) -> list[OpcUaTag]:
    """Tags that are nothing but NodeIds or browse paths; exits with code 2 when one is neither."""
    try:
        return [OpcUaTag.model_validate({"name": "node", "node": text}) for text in texts]
    except ValidationError as error:
        raise _refused(error, OpcUaTag) from None


def _refused(error: ValidationError, model: type[BaseModel]) -> typer.Exit:
    for line in in_words(error, model):
        typer.echo(line, err=True)
    return typer.Exit(EXIT_CONFIG)


def read_opcua(config: OpcUaDevice, tags: Sequence[OpcUaTag]) -> int:
    """Print the present values of tags; returns the exit code, 1 when one of them is not good."""
    return _run(_read(config, tags))


async def _read(config: OpcUaDevice, tags: Sequence[OpcUaTag]) -> int:
    from gateway.sources.opcua.model.explore import read, session

    async with session(config) as connection:
        found = await read(connection, config, tags)
    table = listing("tag", "node", "type", "value", "unit", "range", "status")
    for one in found:
        name = escape(one.path[-1])
        value, unit = escape(one.value), escape(one.unit)
        table.add_row(name, escape(one.node), one.type, value, unit, one.range, one.status or "Good")
    Output().table(table)
    return int(any(one.status for one in found))


def _run(work: Coroutine[Any, Any, T]) -> T:
    try:
        return asyncio.run(work)
    except (NotConnected, ValueError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
