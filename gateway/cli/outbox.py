"""`gateway outbox`: statistics, newest messages, export and verification of an outbox."""

import base64
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Final

import orjson

from gateway.audit.outbox_balance import Balance, balances
from gateway.cli.outbox_locations import OutboxLocation, locations
from gateway.cli.output import Output, describe_error, json_line, listing, progress_bars, say
from gateway.cli.problems import EXIT_CONFIG
from gateway.core.errors import ConfigError, GatewayError
from gateway.core.foreign_text import clean
from gateway.core.interval_set import IntervalSet
from gateway.core.messages import Lane, Message
from gateway.core.plural import counted
from gateway.encoding.encoder import Encoder
from gateway.outbox.database.encryption import encryption_of
from gateway.outbox.database.inspect import Inspection, inspection
from gateway.outbox.dead_letters import is_dead_letter_file, readable_line
from gateway.outbox.losses import THINNED
from gateway.outbox.records import LOSS_LANE

EXIT_DAMAGED: Final = 1

_MOST_SPANS: Final = 5
_PEEK_CHARACTERS: Final = 400

_NAMES: Final = {-1: "loss", **{int(lane): lane.name.lower() for lane in Lane}}


def stats(path: Path, key_file: str, as_json: bool, sink: str = "") -> int:
    """Print what waits: by lane how many, how large, how old; the files; losses not yet announced; of each sink."""
    of_sinks: dict[str, Any] = {}

    def show(outbox: Inspection, location: OutboxLocation) -> int:
        now_ms, oldest = time.time_ns() // 1_000_000, outbox.oldest_ms()
        lanes = {
            _NAMES[lane]: {
                "messages": n,
                "kept_bytes": size,
                "oldest_s": None if (start := oldest[lane]) is None else max(0, now_ms - start) // 1000,
            }
            for lane, (n, size) in sorted(outbox.totals().items())
        }
        losses = outbox.losses()
        numbers = {
            "lanes": lanes,
            "file_bytes": outbox.file_bytes(),
            "max_bytes": location.max_bytes or None,
            "encrypted": outbox.encrypted,
            "unannounced_losses": len(losses),
            "unannounced_lost": sum(x.count for x in losses if x.cause != THINNED),
            "unannounced_merged": sum(x.count for x in losses if x.cause == THINNED),
        }
        of_sinks[location.sink] = numbers
        if not as_json:
            _print_stats(numbers, lanes)
        return 0

    code = _open_and_run(path, key_file, sink, show, quiet=as_json)
    if as_json and of_sinks:
        shown = of_sinks.get("") or (of_sinks[sink] if sink else {"sinks": of_sinks})
        say(orjson.dumps(shown, option=orjson.OPT_INDENT_2).decode())
    return code


def _print_stats(numbers: Mapping[str, Any], lanes: Mapping[str, Mapping[str, Any]]) -> None:
    columns = ("messages", "kept", "oldest")
    console, table = Output(), listing("lane", *columns, right=columns)
    for name, row in lanes.items():
        table.add_row(name, f"{row['messages']:,}", _size(row["kept_bytes"]), _age(row["oldest_s"]))
    console.print_unfolded(table)
    ceiling = f" of {_size(numbers['max_bytes'])} (outbox.max_bytes)" if numbers["max_bytes"] else ""
    console.print(f"files: {_size(numbers['file_bytes'])}{ceiling}{', payloads encrypted' if numbers['encrypted'] else ''}")
    if numbers["unannounced_losses"]:
        lost, records = f"{numbers['unannounced_lost']} lost and", counted(numbers["unannounced_losses"], "record")
        console.print(f"not yet told: {lost} {counted(numbers['unannounced_merged'], 'merged message')} in {records}")


def _size(size: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"


def _age(seconds: int | None) -> str:
    if seconds is None:
        return "-"
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


def export(path: Path, target: str, key_file: str = "", sink: str = "") -> int:
    """Write every readable message as one JSON line to a new file, `-` for standard output; the outbox keeps them.

    path: an outbox, its configuration folder, or the file beside it with what the broker refused. sink: of several, the one
    whose messages are wanted.
    """
    if path.is_file() and is_dead_letter_file(path):
        return _export_dead_letters(path, target, key_file)

    def write(outbox: Inspection, location: OutboxLocation) -> int:
        if location.sink and not sink:
            raise ConfigError("there are several sinks, which have the same messages: name one with --sink")
        if outbox.locked:
            raise ConfigError(f"{location.file} is encrypted: name its key with --key-file")
        if target == "-":
            return lines(outbox, sys.stdout.buffer)
        try:
            with Path(target).open("xb") as file:
                return lines(outbox, file)
        except FileExistsError:
            raise ConfigError(f"{target} is there already: name a new file") from None

    def lines(outbox: Inspection, file: IO[bytes]) -> int:
        total, broken = sum(n for n, _ in outbox.totals().values()), 0
        console = Output(stderr=True)
        with progress_bars(console) as progress:
            task = progress.add_task("export", total=total)
            for found in outbox.rows():
                if found.message is None:
                    broken += 1
                else:
                    file.write(json_line(_line(found.message)))
                progress.advance(task)
        file.flush()
        say(f"{counted(total - broken, 'message')} exported, {broken} unreadable", err=True)
        return EXIT_DAMAGED if broken else 0

    return _open_and_run(path, key_file, sink, write, quiet=True)


def _export_dead_letters(path: Path, target: str, key_file: str) -> int:
    counts = {True: 0, False: 0}

    def lines(file: IO[bytes]) -> None:
        seal = encryption_of(key_file)
        with path.open("rb") as source:
            for line in source:
                try:
                    file.write(json_line(readable_line(line, seal)))
                    counts[True] += 1
                except (ValueError, KeyError, TypeError):
                    counts[False] += 1

    try:
        if target == "-":
            lines(sys.stdout.buffer)
        else:
            with Path(target).open("xb") as file:
                lines(file)
    except FileExistsError:
        say(f"{target} is there already: name a new file", err=True)
        return EXIT_CONFIG
    except (GatewayError, OSError) as error:
        say(describe_error(error), err=True)
        return EXIT_CONFIG
    hint = "" if key_file or not counts[False] else "; if it is encrypted, name its key with --key-file"
    say(f"{counted(counts[True], 'message')} exported, {counts[False]} unreadable{hint}", err=True)
    return EXIT_DAMAGED if counts[False] else 0


def verify(path: Path, key_file: str, sink: str = "") -> int:
    """Check every row, the kept counts, and that of no boot and topic a number is both there and declared lost."""

    def check(outbox: Inspection, _: OutboxLocation) -> int:
        there: dict[tuple[str, str], IntervalSet] = {}
        losses, rows, broken, twice = outbox.losses(), 0, 0, 0
        uncounted_to, should = outbox.counts()
        for found in outbox.rows():
            rows += 1
            if (m := found.message) is None:
                broken += 1
                continue
            if found.id > uncounted_to:
                should[m.boot, m.topic] = should.get((m.boot, m.topic), 0) - 1
            spans = there.setdefault((m.boot, m.topic), IntervalSet())
            twice += m.seq in spans
            spans.add(m.seq, m.seq)
            if found.lane == LOSS_LANE and m.payload:
                losses.append(Encoder.read_loss(m))
        kept = sum(n for n, _ in outbox.totals().values())
        say(
            f"{counted(rows, 'message')}: {broken} unreadable or with a wrong checksum, {twice} twice; the totals say {kept}"
        )
        if outbox.locked:
            say("payloads are encrypted and were not opened: name the key with --key-file")
        is_balanced = _print_balances(balances(there, losses))
        wrong = {of: count for of, count in should.items() if count}
        for (boot, topic), count in sorted(wrong.items()):
            fault = "MISSING" if count > 0 else "TOO MANY"
            say(f"{clean(boot, 20)} {clean(topic, 120)}: {abs(count)} {fault}, by the file's own count")
        if broken_seal := outbox.seal_flaw():
            say(f"THE SEAL IS BROKEN: {broken_seal}; somebody without the key has changed the file, or part of it is older")
        if flaw := outbox.flaw():
            say(f"THE FILE IS TORN ({flaw}); the gateway copies what is sound to a new one and tells what is lost")
        sound = is_balanced and not broken and not twice and not wrong and not flaw and not broken_seal and kept == rows
        return 0 if sound else EXIT_DAMAGED

    return _open_and_run(path, key_file, sink, check)


def _print_balances(rows: list[Balance]) -> bool:
    for row in rows:
        text = f"{clean(row.boot, 20)} {clean(row.topic, 120)}: {row.held} held" + (
            f" in {row.first}..{row.last}" if row.held else ""
        )
        text += f", {row.declared} declared lost or merged" if row.declared else ""
        text += f" ({row.merged_before} of these merged before into what was lost)" if row.merged_before else ""
        text += f", not here and not declared (delivered?): {_spans(row.holes)}" if row.holes else ""
        text += f", HELD AND DECLARED LOST: {_spans(row.overlaps)}" if row.overlaps else ""
        text += f", {row.too_many} MORE DECLARED THAN MISSING" if row.too_many else ""
        say(text)
    return all(row.sound for row in rows)


def _spans(spans: Sequence[tuple[int, int]]) -> str:
    some = ", ".join(f"{first}..{last}" if last > first else str(first) for first, last in spans[:_MOST_SPANS])
    return some + (f" and {len(spans) - _MOST_SPANS} more" if len(spans) > _MOST_SPANS else "")


def peek(path: Path, count: int, whole: bool, key_file: str, sink: str = "") -> int:
    """Print the newest `count` messages of each topic, the newest last; payloads are cut unless `whole`."""

    def show(outbox: Inspection, _: OutboxLocation) -> int:
        for found in outbox.newest(count):
            if (m := found.message) is None:
                say(f"row {found.id} is unreadable: {clean(found.reason, 200)}")
                continue
            head = f"{clean(m.topic, 200)}  boot {clean(m.boot, 40)}  seq {m.seq}"
            say(f"{head}  {_time(m.start_ms)}  {_NAMES[found.lane]}")
            payload = m.payload if whole else m.payload[: 4 * _PEEK_CHARACTERS]  # of UTF-8, four bytes a character at most
            text = "(encrypted)" if outbox.locked else payload.decode(errors="backslashreplace")
            say(f"  {clean(text, len(text) if whole else _PEEK_CHARACTERS)}")
        return 0

    return _open_and_run(path, key_file, sink, show)


def _time(ms: int) -> str:
    """Return a time as text; the number where no calendar has it."""
    try:
        return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")
    except (ValueError, OverflowError, OSError):
        return f"{ms} ms"


def _line(m: Message) -> dict[str, object]:
    head = {"topic": m.topic, "boot": m.boot, "seq": m.seq, "start_ms": m.start_ms, "end_ms": m.end_ms}
    try:
        return {**head, "payload": m.payload.decode()}
    except UnicodeDecodeError:
        return {**head, "payload_base64": base64.b64encode(m.payload).decode()}


def _open_and_run(
    path: Path, key_file: str, sink: str, work: Callable[[Inspection, OutboxLocation], int], *, quiet: bool = False
) -> int:
    """Open the outbox, or that of each sink in turn, and return the worst exit code. quiet: say nothing of whose it is."""
    try:
        found = locations(path, key_file, sink)
        worst = 0
        for location in found:
            if location.sink and not quiet and len(found) > 1:
                say(location.title)
            if location.sink and not location.file.exists():  # a sink that is new
                continue
            with inspection(location.file, location.key_file) as outbox:
                worst = max(worst, work(outbox, location))
    except BrokenPipeError:
        raise  # the reader has gone: no fault
    except (GatewayError, OSError) as error:
        say(describe_error(error), err=True)
        return EXIT_CONFIG
    return worst
