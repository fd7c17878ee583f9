"""`gateway cert`: the gateway's own certificate for devices, and the certificates that it trusts."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from gateway.cli.commands.options import exit_with

if TYPE_CHECKING:
    from gateway.core.ports.device_tools import CertificateStore
    from gateway.core.report import Report

app = typer.Typer(help="OPC UA certificates: the gateway's own, and which servers are trusted.", no_args_is_help=True)

SHOWN_DEFAULT = "/var/lib/gateway/pki/opcua"  # the constant itself stands where pydantic is imported
Folder = Annotated[
    Path | None,
    typer.Option(
        "--pki",
        envvar="GATEWAY_OPCUA_PKI",
        metavar="DIR",
        show_default=SHOWN_DEFAULT,
        help="The folder that pki: of the devices names.",
    ),
]


@app.command("list")
def list_certificates(pki: Folder = None) -> None:
    """List trusted, issuing and rejected certificates with their fingerprints. Exit code 1 when a file cannot be read."""
    _print_certificates(pki, lambda store: store.list_peers())


@app.command()
def trust(
    what: Annotated[str, typer.Argument(metavar="FINGERPRINT|FILE", help="Of a rejected one, 8 digits or more; or a file.")],
    pki: Folder = None,
) -> None:
    """Trust a certificate that was rejected, or one in a file.

    Running gateways take it up at their next attempt. Exit code 1 when it cannot be found or read.
    """
    _print_certificates(pki, lambda store: store.trust(what))


@app.command()
def show(pki: Folder = None) -> None:
    """Show the gateway's own certificate (made if there is none): what servers have to trust.

    Exit code 1 when it cannot be read or made.
    """
    _print_certificates(pki, lambda store: store.show_own(renew=False))


@app.command()
def new(pki: Folder = None) -> None:
    """Make a new own certificate now; key and application URI stay.

    Servers must trust it before they let the gateway in. Exit code 1 when it cannot be made.
    """
    _print_certificates(pki, lambda store: store.show_own(renew=True))


def _print_certificates(pki: Path | None, query: "Callable[[CertificateStore], Report]") -> NoReturn:
    from gateway.cli.reports import run_command
    from gateway.core.ports.device_tools import Trusting
    from gateway.core.report import Report
    from gateway.plugins import SOURCES

    stores = [plugin.certificate_store(pki) for plugin in SOURCES.values() if isinstance(plugin, Trusting)]
    exit_with(lambda: run_command(lambda: Report([item for store in stores for item in query(store).items])))
