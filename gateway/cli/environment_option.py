"""`--environment FILE`: the variables of the service, for any command."""

import functools
import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final

import typer

_NAME: Final = "environment"


def _apply(name: str) -> str:
    if name:
        apply_environment_file(name)
    return name


EnvironmentFile = Annotated[
    str,
    typer.Option(
        "--environment",
        metavar="FILE",
        show_default=False,
        is_eager=True,  # before other options, which may come from its variables
        callback=_apply,
        help="Variables as in systemd's EnvironmentFile= (/etc/gateway/environment), read as systemd does, without a shell. "
        "They win over those of this process.",
    ),
]


def with_environment(command: Callable[..., None]) -> Callable[..., None]:
    """Return the command with the option `--environment FILE`, which is done before the command runs."""

    @functools.wraps(command)
    def run(**options: Any) -> None:
        options.pop(_NAME)
        command(**options)

    signature = inspect.signature(command)
    option = inspect.Parameter(_NAME, inspect.Parameter.KEYWORD_ONLY, default="", annotation=EnvironmentFile)
    run.__signature__ = signature.replace(  # type: ignore[attr-defined]  # what typer reads
        parameters=[*(one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in signature.parameters.values()), option]
    )
    run.__annotations__ = command.__annotations__ | {_NAME: EnvironmentFile}
    return run


def apply_environment_file(name: str) -> None:
    """Set the variables of a file for this process; a file whose name begins with - need not be there.

    Lines that systemd passes over are named on standard error. Raises typer.BadParameter where it cannot be read.
    """
    from gateway.core.foreign_text import LONGEST_TEXT, clean
    from gateway.settings.environment_file import parse_environment_file

    path = Path(name.removeprefix("-"))
    shown = clean(path, LONGEST_TEXT)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        if name.startswith("-"):
            return
        raise typer.BadParameter(f"{shown}: no such file") from None
    except UnicodeDecodeError:
        raise typer.BadParameter(f"{shown}: is not UTF-8 text") from None
    except (OSError, ValueError) as error:
        raise typer.BadParameter(f"{shown}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    found = parse_environment_file(text)
    for line, reason in found.ignored:
        typer.echo(f"{shown}:{line}: {reason}: systemd passes over this line, and so does this command", err=True)
    os.environ.update(found.values)
