"""The proof at the end of `tail` and `demo`: what the ledger says, as a table and a sentence."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.text import Text

from gateway.cli.inbound import Incoming
from gateway.cli.ledger import Report, Row
from gateway.cli.render import clean

_MOST_ROWS = 50
_HEADINGS = ("first", "last", "received", "missing", "explained", "duplicates")
_WIDTHS = (8, 9, 10, 9, 11, 12)


@dataclass(slots=True)
class Tally:
    """What arrived, by kind, and what came in the way. values: of tags; lost: messages that loss records spoke of, as often
    as they came."""

    kinds: Counter[str] = field(default_factory=Counter)
    values: int = 0
    lost: int = 0
    malformed: int = 0
    disconnects: int = 0
    away_s: float = 0.0

    def count(self, incoming: Incoming) -> None:
        """Take a message into account."""
        self.kinds[incoming.kind] += 1
        tags = incoming.body.get("tags")
        self.values += len(tags) if isinstance(tags, dict) else 0
        if incoming.kind == "event" and incoming.body["kind"] == "loss" and incoming.body.get("cause") != "thinned":
            lost = incoming.body.get("count")
            self.lost += lost if isinstance(lost, int) else 0

    @property
    def total(self) -> int:
        """Messages, malformed ones included."""
        return sum(self.kinds.values()) + self.malformed

    def __str__(self) -> str:
        parts = [f"{count} {kind}" for kind, count in sorted(self.kinds.items())]
        parts += [f"{self.malformed} malformed"] if self.malformed else []
        return ", ".join(parts) or "nothing"


def print_report(out: Console, report: Report) -> None:
    """A table of all topics and their boots; with very many only of those that are not complete."""
    rows = [row for row in report.rows if len(report.rows) <= _MOST_ROWS or not row.complete]
    if not rows:
        return
    out.print(Text(_line("topic, boot", _HEADINGS), style="bold"), soft_wrap=True)
    previous = ""
    for row in rows[:_MOST_ROWS]:
        if row.topic != previous:
            out.print(Text(clean(row.topic, 200), style="cyan"), soft_wrap=True)
        previous = row.topic
        counts = (row.first, row.last, row.received, row.missing, row.explained + row.uncertain, row.duplicates)
        line = Text(_line(f"  {clean(row.boot, 20)}", counts), style="" if row.complete else "bold red")
        out.print(line, soft_wrap=True)
    if len(rows) > _MOST_ROWS:
        out.print(f"... and {len(rows) - _MOST_ROWS} more that are not complete")
    if report.losses:
        causes = ", ".join(f"{count} {clean(cause)}" for cause, count in sorted(report.losses.items()))
        out.print(f"Loss records speak of {sum(report.losses.values())} messages: {causes}", soft_wrap=True)
    if gone := sum(report.thinned_first.values()):
        out.print(f"Of those thinned, {gone} had been merged into messages that were lost afterwards", soft_wrap=True)


def _line(name: str, columns: Sequence[object]) -> str:
    # Not a rich table: its columns would squeeze the topics, which have lines of their own here.
    return f"{name:<22}" + "".join(f"{column!s:>{width}}" for column, width in zip(columns, _WIDTHS, strict=True))


def verdict(report: Report, tally: Tally) -> Text:
    """The sentence at the end."""
    if not report.rows:
        return Text("Nothing to prove: no message with a sequence number arrived.", style="bold yellow")
    text = Text()
    received = sum(row.received for row in report.rows)
    topics = len({row.topic for row in report.rows})
    if report.complete:
        text.append(f"Complete: {received} messages on {topics} topics, no gap", style="bold green")
        text.append(f"{_explained(report)}, no unexplained duplicate.", style="bold green")
    else:
        text.append("NOT complete: ", style="bold red").append("; ".join(_faults(report.rows)) + ".", style="red")
        if tally.disconnects:
            text.append(
                f" This subscriber itself was disconnected {_times(tally.disconnects)} ({tally.away_s:.1f} s in all): "
                "what was sent meanwhile is missing here and not necessarily lost."
            )
    if tally.malformed:
        text.append(f" {tally.malformed} malformed messages.", style="yellow")
    return text


def unproven(row: Row) -> int:
    """How many numbers of a row are missing without an explanation."""
    return row.missing - row.explained - row.uncertain


def _explained(report: Report) -> str:
    lost, uncertain = sum(row.explained for row in report.rows), sum(row.uncertain for row in report.rows)
    said = [f"{lost} declared lost"] if lost else []
    said += [f"{uncertain} possibly lost in an unclean stop"] if uncertain else []
    return f" but for {' and '.join(said)}" if said else ""


def _faults(rows: tuple[Row, ...]) -> list[str]:
    missing, twice = sum(map(unproven, rows)), sum(row.unexplained_duplicates for row in rows)
    faults = [f"{missing} sequence number{'s' if missing != 1 else ''} missing without a loss record"] if missing else []
    return faults + ([f"{twice} duplicate{'s' if twice != 1 else ''} without a reason"] if twice else [])


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
