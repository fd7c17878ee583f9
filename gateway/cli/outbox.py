"""`gateway outbox`: what waits, carried out as JSON lines, and whether it is whole."""

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Final

import orjson
import typer
from rich.console import Console
from rich.progress import Progress

from gateway.cli.problems import EXIT_CONFIG
from gateway.core.errors import ConfigError, GatewayError
from gateway.core.messages import Lane, Message
from gateway.outbox.looking import Look, looking

EXIT_DAMAGED: Final = 1

_NAMES: Final = {-1: "loss", **{int(lane): lane.name.lower() for lane in Lane}}


def stats(path: Path, key_file: str = "") -> int:
    """Print what waits, by lane, and the losses not yet announced, as JSON."""

    def show(look: Look) -> int:
        lanes = {_NAMES[lane]: {"messages": n, "payload_bytes": size} for lane, (n, size) in look.totals().items()}
        losses = look.losses()
        said = {"lanes": lanes, "unannounced_losses": len(losses), "unannounced_lost": sum(x.count for x in losses)}
        typer.echo(orjson.dumps(said, option=orjson.OPT_INDENT_2))
        return 0

    return _with(path, key_file, show)


def export(path: Path, target: Path, key_file: str = "") -> int:
    """Write every readable message as one JSON line to a new file; nothing is removed from the outbox."""

    def write(look: Look) -> int:
        if look.locked:
            raise ConfigError(f"{path} is encrypted: name its key with --key-file")
        total, broken = sum(n for n, _ in look.totals().values()), 0
        with target.open("xb") as file, Progress(console=Console(stderr=True)) as progress:
            task = progress.add_task("export", total=total)
            for found in look.rows():
                if found.message is None:
                    broken += 1
                else:
                    file.write(orjson.dumps(_line(found.message), option=orjson.OPT_APPEND_NEWLINE))
                progress.advance(task)
        typer.echo(f"{total - broken} messages exported, {broken} unreadable", err=True)
        return EXIT_DAMAGED if broken else 0

    return _with(path, key_file, write)


def verify(path: Path, key_file: str = "") -> int:
    """Check every row's checksum, that no message is there twice, and the kept totals."""

    def check(look: Look) -> int:
        seen: set[tuple[str, str, int]] = set()
        rows = broken = twice = 0
        for found in look.rows():
            rows += 1
            if (m := found.message) is None:
                broken += 1
            elif (m.boot, m.topic, m.seq) in seen:
                twice += 1
            else:
                seen.add((m.boot, m.topic, m.seq))
        kept = sum(n for n, _ in look.totals().values())
        typer.echo(f"{rows} messages: {broken} with a wrong checksum, {twice} twice; the totals say {kept}")
        return EXIT_DAMAGED if broken or twice or kept != rows else 0

    return _with(path, key_file, check)


def _line(m: Message) -> dict[str, object]:
    head = {"topic": m.topic, "boot": m.boot, "seq": m.seq, "start_ms": m.start_ms, "end_ms": m.end_ms}
    try:
        return {**head, "payload": m.payload.decode()}
    except UnicodeDecodeError:
        return {**head, "payload_base64": base64.b64encode(m.payload).decode()}


def _with(path: Path, key_file: str, work: Callable[[Look], int]) -> int:
    try:
        with looking(path, key_file) as look:
            return work(look)
    except (GatewayError, OSError) as error:
        typer.echo(str(error), err=True)
        return EXIT_CONFIG
