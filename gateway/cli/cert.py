"""`gateway cert`: the gateway's own OPC UA certificate, and whom it trusts."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

    from gateway.sources.opcua.security.pki import Pki

app = typer.Typer(help="OPC UA certificates: the gateway's own, and which servers are trusted.", no_args_is_help=True)

SHOWN_DEFAULT = "/var/lib/gateway/pki/opcua"  # the constant itself stands where numpy and asyncua are imported
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
_FEWEST_DIGITS = 8
_PLACES = ("trusted", "issuers", "rejected")


@app.command("list")
def list_certificates(pki: Folder = None) -> None:
    """List trusted, issuing and rejected certificates with their fingerprints. Exit code 1 when a file cannot be read."""
    from gateway.cli.output import printing

    with printing():
        _list(pki)


def _list(pki: Path | None) -> None:
    from gateway.sources.opcua.security.certificates import application_uris, fingerprint, holder
    from gateway.sources.opcua.security.pki import Pki

    folder = place_of(pki)
    try:
        found = [entry for place in _PLACES for entry in Pki(folder).listed(place)]
    except (OSError, ValueError) as error:
        raise _failed(error, pki) from None
    for listed in found:
        certificate = listed.certificate
        who = ", ".join(application_uris(certificate)) or holder(certificate)
        until = f"{certificate.not_valid_after_utc:%Y-%m-%d}"
        typer.echo(f"{listed.place:<8}  {fingerprint(certificate)}  until {until}  {who}")
    if not found:
        typer.echo(f"no certificate of a server in {folder}; --pki names another folder", err=True)


@app.command()
def trust(
    what: Annotated[str, typer.Argument(metavar="FINGERPRINT|FILE", help="Of a rejected one, 8 digits or more; or a file.")],
    pki: Folder = None,
) -> None:
    """Trust a certificate that was rejected, or one in a file. Running gateways take it up at their next attempt.
    Exit code 1 when it cannot be found or read."""
    from gateway.sources.opcua.security.certificates import fingerprint, holder
    from gateway.sources.opcua.security.pki import Pki, load_file

    folder, path = place_of(pki), Path(what)
    store = Pki(folder)
    try:
        certificate = load_file(path) if path.is_file() else _fingerprinted(store, what)
        target = store.trust(certificate)
    except (OSError, ValueError) as error:
        raise _failed(error, pki) from None
    typer.echo(f"trusted: {holder(certificate)}, SHA-256 {fingerprint(certificate)}, in {target}")
    typer.echo("the server must trust this gateway as well: gateway cert show", err=True)


def _fingerprinted(store: "Pki", what: str) -> "Certificate":
    """The one certificate that was rejected, or is trusted already, whose fingerprint begins so. Raises ValueError."""
    from gateway.sources.opcua.security.certificates import fingerprint

    digits = what.replace(":", "").lower()
    matches: list[Certificate] = []
    for place in ("rejected", "trusted"):
        matches = matches or [e.certificate for e in store.listed(place) if fingerprint(e.certificate).startswith(digits)]
    if len(digits) < _FEWEST_DIGITS or len(matches) != 1:
        found = f"fewer than {_FEWEST_DIGITS} digits" if len(digits) < _FEWEST_DIGITS else f"{len(matches)} begin so"
        raise ValueError(
            f"{what} is no file, and no fingerprint of a rejected certificate: {found} in {store.folder}; "
            f"gateway cert list --pki {store.folder} shows them"
        )
    return matches[0]


@app.command()
def show(pki: Folder = None) -> None:
    """Show the gateway's own certificate (made if there is none): what servers have to trust. Exit code 1 when it cannot be
    read or made."""
    from gateway.cli.output import printing

    with printing():
        _show(pki, renew=False)


@app.command()
def new(pki: Folder = None) -> None:
    """Make a new own certificate now; key and application URI stay. Servers must trust it before they let the gateway in.
    Exit code 1 when it cannot be made."""
    from gateway.cli.output import printing

    with printing():
        _show(pki, renew=True)


def place_of(folder: Path | None) -> Path:
    """The folder that was asked for, or the usual one."""
    from gateway.sources.opcua.config.pki_folder import DEFAULT_FOLDER

    return folder or DEFAULT_FOLDER


def _show(folder: Path | None, *, renew: bool) -> None:
    from gateway.sources.opcua.security.certificates import fingerprint
    from gateway.sources.opcua.security.pki import Pki

    store, now = Pki(place_of(folder)), datetime.now(UTC)
    try:
        own = store.renew(now) if renew else store.own(now)
    except (OSError, ValueError) as error:
        raise _failed(error, folder) from None
    typer.echo(f"file             {store.own_path}\napplication URI  {own.application_uri}")
    for name, certificate in (("", own.certificate), ("next ", own.next)):
        if certificate is not None:
            typer.echo(f"{name + 'SHA-256':<16} {fingerprint(certificate)}")
            typer.echo(f"{name + 'valid until':<16} {certificate.not_valid_after_utc:%Y-%m-%d}")


def _failed(error: OSError | ValueError, folder: Path | None) -> typer.Exit:
    from gateway.sources.opcua.security.pki import fault

    advice = ""
    if isinstance(error, PermissionError):
        advice = "; the folder of the service is root's: sudo, with the whole path of gateway; or another folder with --pki"
    elif isinstance(error, OSError):
        advice = "; --pki names another folder" if folder is None else ""
    typer.echo(f"{fault(error)}{advice}", err=True)
    return typer.Exit(1)
