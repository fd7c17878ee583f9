"""`gateway cert`: the gateway's own OPC UA certificate, and whom it trusts."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

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
    from gateway.sources.opcua.security.certificates import application_uris, fingerprint
    from gateway.sources.opcua.security.pki import Pki

    folder, count = place_of(pki), 0
    try:
        for listed in (entry for place in _PLACES for entry in Pki(folder).listed(place)):
            count += 1
            certificate = listed.certificate
            who = ", ".join(application_uris(certificate)) or certificate.subject.rfc4514_string()
            until = f"{certificate.not_valid_after_utc:%Y-%m-%d}"
            typer.echo(f"{listed.place:<8}  {fingerprint(certificate)}  until {until}  {who}")
        if not count:
            nothing = "no server has been trusted or rejected yet" if folder.is_dir() else "there is no such folder"
            typer.echo(f"{folder}: {nothing}; another one is named with --pki, as pki: in the devices", err=True)
    except (OSError, ValueError) as error:
        raise _failed(error) from None


@app.command()
def trust(
    what: Annotated[str, typer.Argument(metavar="FINGERPRINT|FILE", help="Of a rejected one, 8 digits or more; or a file.")],
    pki: Folder = None,
) -> None:
    """Trust a certificate that was rejected, or one in a file. Running gateways take it up at their next attempt. Exit
    code 1 when it cannot be found or read."""
    from gateway.sources.opcua.security.certificates import fingerprint
    from gateway.sources.opcua.security.pki import Pki

    folder, path = place_of(pki), Path(what)
    store = Pki(folder)
    try:
        if path.is_file():
            certificate = _read(path)
        elif path.exists() or "/" in what:
            raise ValueError(f"{what} is no file; expected a certificate's file, or the fingerprint of a rejected one")
        else:
            digits = what.replace(":", "").lower()
            matches = [e.certificate for e in store.listed("rejected") if fingerprint(e.certificate).startswith(digits)]
            if len(digits) < _FEWEST_DIGITS or len(matches) != 1:
                few = f"expected a file, or at least {_FEWEST_DIGITS} digits of a fingerprint"
                count = f"{len(matches) or 'none'} of the rejected ones in {folder} begin so"
                problem = few if len(digits) < _FEWEST_DIGITS else f"{count}; gateway cert list --pki {folder} shows them"
                raise ValueError(f"{what!r}: {problem}")
            certificate = matches[0]
        target = store.trust(certificate)
    except (OSError, ValueError) as error:
        raise _failed(error) from None
    typer.echo(f"trusted: {certificate.subject.rfc4514_string()}, SHA-256 {fingerprint(certificate)}, in {target}")
    typer.echo("the server must trust this gateway as well: gateway cert show", err=True)


@app.command()
def show(pki: Folder = None) -> None:
    """Show the gateway's own certificate (made if there is none): what servers have to trust. Exit code 1 when it cannot be
    read or made."""
    _show(pki, renew=False)


@app.command()
def new(pki: Folder = None) -> None:
    """Make a new own certificate now; key and application URI stay. Servers must trust it before they let the gateway in.
    Exit code 1 when it cannot be made."""
    _show(pki, renew=True)


def _read(path: Path) -> "Certificate":
    from gateway.sources.opcua.security.certificates import load_certificate

    try:
        return load_certificate(path.read_bytes())
    except ValueError:
        raise ValueError(f"{path} is no certificate; expected an X.509 certificate, DER or PEM") from None


def place_of(folder: Path | None) -> Path:
    """The folder that was asked for, or the usual one."""
    from gateway.sources.opcua.security.folders import DEFAULT_FOLDER

    return folder or DEFAULT_FOLDER


def _show(folder: Path | None, *, renew: bool) -> None:
    from gateway.sources.opcua.security.certificates import fingerprint
    from gateway.sources.opcua.security.pki import Pki

    store, now = Pki(place_of(folder)), datetime.now(UTC)
    try:
        own = store.renew(now) if renew else store.own(now)
    except (OSError, ValueError) as error:
        raise _failed(error) from None
    typer.echo(f"file             {store.own_path}\napplication URI  {own.application_uri}")
    for name, certificate in (("", own.certificate), ("next ", own.next)):
        if certificate is not None:
            typer.echo(f"{name + 'SHA-256':<16} {fingerprint(certificate)}")
            typer.echo(f"{name + 'valid until':<16} {certificate.not_valid_after_utc:%Y-%m-%d}")


def _failed(error: Exception) -> typer.Exit:
    from gateway.cli.output import in_words

    typer.echo(in_words(error), err=True)
    return typer.Exit(1)
