"""The proof at the end of `tail` and `demo`: what the ledger says, as a table and a sentence."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from rich.console import Console
from rich.text import Text

from gateway.audit.ledger import Report, Row
from gateway.audit.sparkplug import MODULUS, PREFIX
from gateway.audit.traffic_stats import Absence, Tally
from gateway.cli.rate_display import rate_of
from gateway.cli.terminal import clean
from gateway.core.plural import counted

_MOST_ROWS: Final = 50
_MOST_TIMES: Final = 3
_HEADINGS: Final = ("first", "last", "received", "missing", "explained", "duplicates")
_WIDTHS: Final = (8, 9, 9, 8, 10, 11)  # 77 characters with the name


def print_report(out: Console, report: Report, tally: Tally) -> None:
    """A table of all topics, their rates and boots; with very many only of those that are not complete."""
    rows = [row for row in report.rows if len(report.rows) <= _MOST_ROWS or not row.complete]
    if not rows:
        return
    out.print(Text(_line("topic, boot", _HEADINGS), style="bold"), soft_wrap=True)
    previous = ""
    for row in rows[:_MOST_ROWS]:
        if row.topic != previous:
            flow = tally.flows.get(row.topic)
            rate = rate_of(flow) if flow else ""
            line = Text(clean(row.topic, 200), style="cyan")
            out.print(line.append(f"  {rate}" if rate else "", style="dim"), soft_wrap=True)
        previous = row.topic
        counts = (row.first, row.last, row.received, row.missing, row.explained + row.uncertain, row.duplicates)
        style = "" if row.complete else "bold red" if row.unproven or row.unexplained_duplicates else "yellow"
        out.print(Text(_line(f"  {clean(row.boot, 20)}", counts), style=style), soft_wrap=True)
    if len(rows) > _MOST_ROWS:
        out.print(f"... and {len(rows) - _MOST_ROWS} more that are not complete")
    if any(row.topic.startswith(PREFIX) for row in rows):
        out.print(
            f"Sparkplug's own numbers go from 0 to {MODULUS - 1}: what is missing there is counted modulo {MODULUS}.",
            style="dim", soft_wrap=not out.is_terminal,
        )  # fmt: skip
    if report.losses:
        causes = ", ".join(f"{count} {clean(cause)}" for cause, count in sorted(report.losses.items()))
        out.print(f"Loss records speak of {counted(sum(report.losses.values()), 'message')}: {causes}", soft_wrap=True)
    if gone := sum(report.thinned_first.values()):
        out.print(f"Of those thinned, {gone} had been merged into messages that were lost afterwards", soft_wrap=True)


def _line(name: str, columns: Sequence[object]) -> str:
    # Not a rich table: its columns would squeeze the topics, which have lines of their own here.
    return f"{name:<22}" + "".join(f"{column!s:>{width}}" for column, width in zip(columns, _WIDTHS, strict=True))


def proven(report: Report, tally: Tally) -> bool:
    """Whether nothing can be missing without an explanation: every number is there or accounted for, and no message can have
    passed while the subscriber was away."""
    if tally.absences and report.fleeting:
        return False
    return bool(report.rows) and report.complete and all(absence.kept for absence in tally.absences)


def verdict(report: Report, tally: Tally) -> Text:
    """The sentence at the end."""
    if not report.rows:
        return Text("Nothing to prove: no message with a sequence number arrived.", style="bold yellow")
    text = Text()
    if proven(report, tally):
        text.append(_complete(report), style="bold green")
        if tally.absences:
            text.append(f" {_absent(tally.absences)}; the broker kept what came meanwhile.")
    elif report.sound:
        text.append("Complete except while tail itself was disconnected: ", style="bold yellow")
        text.append(f"{_unproven(report)}. {_complete(report)} {_absent(tally.absences)}.", style="yellow")
    else:
        text.append("NOT complete: ", style="bold red").append("; ".join(_faults(report.rows)) + ".", style="red")
        if tally.absences:
            text.append(f" {_absent(tally.absences)}: {_unproven(report)}, not necessarily lost.")
    if tally.malformed:
        text.append(f" {counted(tally.malformed, 'malformed message')}.", style="yellow")
    return text


def _complete(report: Report) -> str:
    received, topics = sum(row.received for row in report.rows), len({row.topic for row in report.rows})
    counts = f"{counted(received, 'message')} on {counted(topics, 'topic')}"
    away = sum(row.away for row in report.rows)
    if away or not report.complete:
        return f"Apart from that: {counts}, no gap{_explained(report)}, no unexplained duplicate."
    return f"Complete: {counts}, no gap{_explained(report)}, no unexplained duplicate."


def _explained(report: Report) -> str:
    merged, uncertain = sum(row.merged for row in report.rows), sum(row.uncertain for row in report.rows)
    lost = sum(row.explained for row in report.rows) - merged
    said = [f"{lost} declared lost"] if lost else []
    said += [f"{merged} that came merged into longer windows"] if merged else []
    said += [f"{uncertain} possibly lost in an unclean stop"] if uncertain else []
    return f" but for {' and '.join(said)}" if said else ""


def _faults(rows: tuple[Row, ...]) -> list[str]:
    missing, twice = sum(row.unproven for row in rows), sum(row.unexplained_duplicates for row in rows)
    faults = [f"{counted(missing, 'sequence number')} missing without a loss record"] if missing else []
    return faults + ([f"{counted(twice, 'duplicate')} without a reason"] if twice else [])


def _unproven(report: Report) -> str:
    """What an absence leaves open."""
    away = sum(row.away for row in report.rows)
    said = f"{counted(away, 'sequence number')} unproven"
    if report.silent:
        said += f", and how {counted(report.silent, 'row')} went on, of which nothing has come since"
    return said


def _absent(absences: Sequence[Absence]) -> str:
    times = [f"{_clock(one.begin_s)}-{_clock(one.end_s)}" for one in absences[:_MOST_TIMES]]
    more = f" and {len(absences) - _MOST_TIMES} times more" if len(absences) > _MOST_TIMES else ""
    return f"Tail was disconnected {', '.join(times)}{more}"


def _clock(time_s: float) -> str:
    return datetime.fromtimestamp(time_s).strftime("%H:%M:%S")
