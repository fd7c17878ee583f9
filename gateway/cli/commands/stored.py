"""`gateway outbox` and `gateway export`: commands that look into what a gateway has stored."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from gateway.cli.commands.options import DEFAULT_CONFIG, ConfigDir, exit_with

app = typer.Typer(help="Look into an outbox, whether its gateway runs or not. Nothing is changed.", no_args_is_help=True)
OutboxKey = Annotated[
    str, typer.Option(metavar="KEY", envvar="GATEWAY__OUTBOX__KEY_FILE", show_default=False, help="As outbox.key_file.")
]
OutboxFile = Annotated[
    Path, typer.Argument(metavar="FILE", help="The database, or the configuration folder that names it (and its key).")
]


OutboxSink = Annotated[
    str, typer.Option("--sink", metavar="NAME", show_default="all", help="With a folder that configures several sinks.")
]


@app.command()
def stats(
    file: OutboxFile,
    json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
    key_file: OutboxKey = "",
    sink: OutboxSink = "",
) -> None:
    """Print what waits for each sink, by lane, how old it is, and the losses not yet announced.

    Exit code 2 when it cannot be read.
    """
    from gateway.cli import outbox

    exit_with(lambda: outbox.stats(file, key_file, json, sink))


@app.command()
def export(
    file: OutboxFile,
    target: Annotated[str, typer.Argument(metavar="TARGET", help="A new file of JSON lines; - is standard output.")],
    key_file: OutboxKey = "",
    sink: OutboxSink = "",
) -> None:
    """Write all that waits as JSON lines. Exit codes: 0, 1 when some rows are unreadable, 2 when the file or target is."""
    from gateway.cli import outbox

    exit_with(lambda: outbox.export(file, target, key_file, sink))


@app.command()
def verify(file: OutboxFile, key_file: OutboxKey = "", sink: OutboxSink = "") -> None:
    """Check every row, and of each boot and topic that nothing is both there and declared lost; say where holes are.

    Exit codes: 0 when whole, 1 when not, 2 when the file cannot be read.
    """
    from gateway.cli import outbox

    exit_with(lambda: outbox.verify(file, key_file, sink))


@app.command()
def peek(
    file: OutboxFile,
    count: Annotated[int, typer.Option("--count", "-n", min=1, metavar="N", help="So many of each topic.")] = 1,
    whole: Annotated[bool, typer.Option("--whole", help="Do not cut long payloads.")] = False,
    key_file: OutboxKey = "",
    sink: OutboxSink = "",
) -> None:
    """Show the newest messages of each topic. Exit code 2 when the file cannot be read."""
    from gateway.cli import outbox

    exit_with(lambda: outbox.peek(file, count, whole, key_file, sink))


def export_history(
    target: Annotated[str, typer.Argument(metavar="TARGET", help="A new file; - is standard output.")],
    begin: Annotated[str, typer.Option("--from", metavar="TIME", help="ISO 8601, UTC without offset; -2h: two hours ago.")],
    end: Annotated[str, typer.Option("--to", metavar="TIME", show_default="now", help="As --from.")] = "",
    tags: Annotated[
        list[str] | None, typer.Option("--tags", metavar="PATTERN", show_default="all", help="device/tag; * is any text.")
    ] = None,
    kind: Annotated[Literal["samples", "minutes", "ten_minutes"], typer.Option(help="Which rows.")] = "samples",
    format_: Annotated[Literal["csv", "parquet"], typer.Option("--format", help="Of the target.")] = "csv",
    config: ConfigDir = DEFAULT_CONFIG,
    files: Annotated[
        Path | None,
        typer.Option("--files", metavar="DIR", show_default="as configured", help="Folder of history files."),
    ] = None,
) -> None:
    """Write history files as CSV or Parquet, whether the gateway runs or not; blocks in their order, each by tag.

    Exit codes: 0, 1 when something is damaged and left out, 2 when nothing can be exported.
    """
    from gateway.cli.export import ExportRequest, export

    exit_with(lambda: export(config, files, target, ExportRequest(begin, end, tags or [], kind, format_)))
