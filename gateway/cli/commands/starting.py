"""Commands for first steps: templates."""

from typing import Annotated

import typer

from gateway.cli.commands.options import DEFAULT_CONFIG, ConfigDir, exit_with


def templates(
    what: Annotated[
        list[str] | None,
        typer.Argument(metavar="[show NAME]", show_default=False, help="Print this template instead of the list."),
    ] = None,
    config: ConfigDir = DEFAULT_CONFIG,
) -> None:
    """List the templates of known devices, those that come with the gateway and those in the configuration's templates/.

    Exit codes: 0, 2 when there is no such template.
    """
    from gateway.cli.templates import list_templates, show_template

    words = [word for word in what or [] if word != "show"]
    if len(words) > 1 or (what and not words):
        raise typer.BadParameter("expected no words, or show and the name of one template", param_hint="show NAME")
    exit_with(lambda: show_template(config, words[0]) if words else list_templates(config))
