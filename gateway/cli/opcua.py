"""`gateway discover` and `gateway browse`, and reading OPC UA nodes: servers as people look at them."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

import typer
from pydantic import ValidationError
from rich.markup import escape
from rich.table import Table
from rich.tree import Tree

from gateway.cli.output import Output
from gateway.core.errors import NotConnected
from gateway.sources.opcua.config import OpcUaDevice

T = TypeVar("T")
NUMERIC = frozenset(
    {"Boolean", "SByte", "Byte", "Int16", "UInt16", "Int32", "UInt32", "Int64", "UInt64", "Float", "Double"}
)  # fmt: skip
_LONGEST_VALUE = 60
_PROGRESS_EVERY = 100


def device(url: str, **keys: object) -> OpcUaDevice:
    """The model of a server given by options; exits with code 2 when they are wrong."""
    given = {key: value for key, value in keys.items() if value is not None and (value or key == "password")}
    try:
        return OpcUaDevice.model_validate({"name": "server", "protocol": "opcua", "url": url, **given})
    except ValidationError as error:
        for problem in error.errors():
            typer.echo(f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}", err=True)
        raise typer.Exit(2) from None


def discover(url: str) -> int:
    """Print endpoints, policies, logins and certificates; returns the exit code."""
    from gateway.sources.opcua.certificates import fingerprint, load_chain
    from gateway.sources.opcua.explore import discover as ask

    offers = _run(ask(device(url)))
    for offer in offers:
        try:
            chain = load_chain(offer.certificate)
        except ValueError as error:
            shown = f"unreadable: {error}"
        else:
            shown = fingerprint(chain[0]) if chain else ""
        logins = ", ".join(dict.fromkeys(token.kind for token in offer.tokens))
        typer.echo(
            f"{offer.policy} {offer.mode}  {offer.url}\n    application  {offer.application_uri}\n    login        {logins}"
        )
        typer.echo(f"    certificate  {shown}")
    return 0


def browse(config: OpcUaDevice, root: str, most: int, *, as_csv: bool) -> int:
    """Print the tree below root, or a tag file of its numeric variables; returns the exit code."""
    return _run(_browse(config, root, most, as_csv=as_csv))


async def _browse(config: OpcUaDevice, root: str, most: int, *, as_csv: bool) -> int:
    from gateway.sources.opcua.explore import browse as walk
    from gateway.sources.opcua.explore import session
    from gateway.sources.opcua.tagfile import tag_file

    console, errors = Output(), Output(stderr=True)
    found = []
    async with session(config) as client:
        with errors.status("browsing") as status:
            async for node in walk(client, root, most + 1):
                found.append(node)
                if len(found) % _PROGRESS_EVERY == 0:
                    status.update(f"browsing: {len(found)} nodes")
    cut = len(found) > most
    found = found[:most]
    if as_csv:
        numeric = [node for node in found if node.is_variable and node.type in NUMERIC]
        typer.echo(tag_file((node.path, node.node, node.unit) for node in numeric), nl=False)
        others = sum(node.is_variable for node in found) - len(numeric)
        typer.echo(f"{len(numeric)} tags; {others} variables that are no single numbers were left out", err=True)
    else:
        tree = Tree(escape(f"{config.url} {root}"))
        branches: dict[tuple[str, ...], Tree] = {(): tree}
        for node in found:
            branches[node.path] = branches.get(node.path[:-1], tree).add(_line(node))
        console.print(tree)
    if cut:
        typer.echo(f"more than {most} nodes: the rest is not shown; --most N or --root NODE chooses", err=True)
    return int(cut)


def _line(node: Any) -> str:
    value = node.value if len(node.value) <= _LONGEST_VALUE else f"{node.value[:_LONGEST_VALUE]}..."
    head = f"[bold]{escape(node.path[-1])}[/] [dim]{escape(node.node)}[/]"
    if not node.is_variable:
        return head
    return f"{head} {node.type} [cyan]{escape(value)}[/] {escape(node.unit)} [red]{node.status}[/]".rstrip()


def read_opcua(config: OpcUaDevice, nodes: Sequence[str]) -> int:
    """Print the present values of nodes; returns the exit code, 1 when one of them is not good."""
    return _run(_read(config, nodes))


async def _read(config: OpcUaDevice, nodes: Sequence[str]) -> int:
    from gateway.sources.opcua.explore import read, session

    async with session(config) as client:
        found = await read(client, nodes)
    table = Table("node", "type", "value", "unit", "status")
    for node in found:
        table.add_row(escape(node.node), node.type, escape(node.value), escape(node.unit), node.status or "Good")
    Output().table(table)
    return int(any(node.status for node in found))


def _run(work: Coroutine[Any, Any, T]) -> T:
    try:
        return asyncio.run(work)
    except (NotConnected, ValueError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
