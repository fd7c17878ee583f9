"""The command line: the list of commands. Their options and help texts are in `commands/`."""

import inspect
import re
from collections.abc import Callable
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from gateway.cli import cert
from gateway.cli.commands import broker, configuration, devices, starting, stored, watch
from gateway.cli.commands.examples import epilog
from gateway.cli.environment_option import with_environment


class _Commands(TyperGroup):
    """A group of commands that rewords pydantic's texts about wrong options."""

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]  # its Context is typer's
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            error.message = error.message.removeprefix("Value error, ").replace("Input should be", "must be", 1)
            raise


app = typer.Typer(
    name="gateway",
    cls=_Commands,
    help="Field devices in, honest one-second windows out over MQTT.\n\n"
    "Start with [bold]gateway demo[/bold]; then [bold]gateway init[/bold], [bold]gateway add[/bold], "
    "[bold]gateway check[/bold] and [bold]gateway run[/bold] a configuration of your own.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_PANELS: dict[str, tuple[Callable[..., None], ...]] = {
    "Run it": (
        configuration.demo,
        configuration.check,
        configuration.run,
        configuration.reload,
        configuration.schema,
        configuration.purge,
    ),
    "Look at the running gateway": (watch.status, watch.top, watch.log_level),
    "First steps": (starting.init, starting.add, starting.templates),
    "Look at devices": (configuration.plan, devices.read, devices.scan, devices.discover, devices.browse),
    "Look at what is sent": (broker.tail, stored.export_history),
}
"""By heading, in the order of `gateway --help`."""


def _version(wanted: bool) -> None:
    if wanted:
        from gateway import __version__

        typer.echo(f"gateway {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


def _flowing(text: str) -> str:
    """Return a docstring whose lines end where the terminal does; paragraphs stay."""
    return re.sub(r"(?<!\n)\n(?!\n)", " ", inspect.cleandoc(text))


for _panel, _commands in _PANELS.items():
    for _command in _commands:
        app.command(rich_help_panel=_panel)(_command)
app.add_typer(cert.app, name="cert", rich_help_panel="Look at devices")
app.add_typer(stored.app, name="outbox", rich_help_panel="Look at what is sent")
_groups: dict[str, typer.Typer] = {"": app, "cert ": cert.app, "outbox ": stored.app}
for _prefix, _group in _groups.items():
    for _one in _group.registered_commands:
        assert _one.callback is not None
        _one.name = {"export_history": "export", "log_level": "log-level"}.get(_one.callback.__name__, _one.name)
        _one.help = _flowing(_one.callback.__doc__ or "")
        _one.epilog = epilog(_prefix + (_one.name or _one.callback.__name__))
        _one.name = _one.name or _one.callback.__name__
        _one.callback = with_environment(_one.callback)
