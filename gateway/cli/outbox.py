"""`gateway outbox`: what waits, in numbers, to look at, as JSON lines, and whether it is whole."""

import base64
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import orjson
import typer
from rich.console import Console
from rich.progress import Progress

from gateway.cli.holdings import Holding, holdings
from gateway.cli.ledger import Spans
from gateway.cli.problems import EXIT_CONFIG
from gateway.cli.render import clean
from gateway.core.errors import ConfigError, GatewayError
from gateway.core.messages import Lane, Message
from gateway.encoding.encoder import Encoder
from gateway.outbox.looking import Look, looking
from gateway.outbox.records import LOSS_LANE

EXIT_DAMAGED: Final = 1

_MOST_SPANS: Final = 5
_PEEK_CHARACTERS: Final = 400

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
    """Check every row, the kept totals, and that of no boot and topic a number is both there and declared lost."""

    def check(look: Look) -> int:
        there: dict[tuple[str, str], Spans] = {}
        losses, rows, broken, twice = look.losses(), 0, 0, 0
        for found in look.rows():
            rows += 1
            if (m := found.message) is None:
                broken += 1
                continue
            spans = there.setdefault((m.boot, m.topic), Spans())
            twice += m.seq in spans
            spans.add(m.seq, m.seq)
            if found.lane == LOSS_LANE and m.payload:
                losses.append(Encoder.read_loss(m))
        kept = sum(n for n, _ in look.totals().values())
        typer.echo(f"{rows} messages: {broken} unreadable or with a wrong checksum, {twice} twice; the totals say {kept}")
        if look.locked:
            typer.echo("payloads are encrypted and were not opened: name the key with --key-file")
        found_sound = _print_holdings(holdings(there, losses))
        return 0 if found_sound and not broken and not twice and kept == rows else EXIT_DAMAGED

    return _with(path, key_file, check)


def _print_holdings(rows: list[Holding]) -> bool:
    for row in rows:
        said = f"{row.boot} {clean(row.topic, 120)}: {row.held} held" + (f" in {row.first}..{row.last}" if row.held else "")
        said += f", {row.declared} declared lost or merged" if row.declared else ""
        said += f", not here and not declared (delivered?): {_spans(row.holes)}" if row.holes else ""
        said += f", HELD AND DECLARED LOST: {_spans(row.overlaps)}" if row.overlaps else ""
        said += f", {row.too_many} MORE DECLARED THAN MISSING" if row.too_many else ""
        typer.echo(said)
    return all(row.sound for row in rows)


def _spans(spans: Sequence[tuple[int, int]]) -> str:
    some = ", ".join(f"{first}..{last}" if last > first else str(first) for first, last in spans[:_MOST_SPANS])
    return some + (f" and {len(spans) - _MOST_SPANS} more" if len(spans) > _MOST_SPANS else "")


def peek(path: Path, count: int, whole: bool, key_file: str = "") -> int:
    """Print the newest `count` messages of each topic, the newest last; payloads are cut unless `whole`."""

    def show(look: Look) -> int:
        for found in look.newest(count):
            if (m := found.message) is None:
                typer.echo(f"row {found.id} is unreadable")
                continue
            when = datetime.fromtimestamp(m.start_ms / 1000, UTC).isoformat(timespec="milliseconds")
            typer.echo(f"{clean(m.topic, 200)}  boot {m.boot}  seq {m.seq}  {when}  {_NAMES[found.lane]}")
            text = "(encrypted)" if look.locked else m.payload.decode(errors="backslashreplace")
            typer.echo(f"  {clean(text, len(text) if whole else _PEEK_CHARACTERS)}")
        return 0

    return _with(path, key_file, show)


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
