"""Print the proof at the end of `tail` and `demo`: a table and a sentence."""

from collections.abc import Sequence
from typing import Final

from rich.console import Console
from rich.text import Text

from gateway.audit.auditor import Auditor
from gateway.audit.ledger import Report
from gateway.audit.verdict import Outcome, Verdict
from gateway.cli.rate_display import rate_of
from gateway.core.foreign_text import clean
from gateway.core.plural import counted

_MOST_ROWS: Final = 50
_HEADINGS: Final = ("first", "last", "received", "missing", "explained", "duplicates")
_WIDTHS: Final = (8, 9, 9, 8, 10, 11)  # 77 characters with the name


def print_report(out: Console, report: Report, auditor: Auditor) -> None:
    """Print a table of all topics, their rates and boots; with very many only of those that are not complete."""
    rows = [row for row in report.rows if len(report.rows) <= _MOST_ROWS or not row.complete]
    if not rows:
        return
    out.print(Text(_line("topic, boot", _HEADINGS), style="bold"), soft_wrap=True)
    previous = ""
    for row in rows[:_MOST_ROWS]:
        if row.topic != previous:
            flow = auditor.stats.flows.get(row.topic)
            rate = rate_of(flow) if flow else ""
            line = Text(clean(row.topic, 200), style="cyan")
            out.print(line.append(f"  {rate}" if rate else "", style="dim"), soft_wrap=True)
        previous = row.topic
        counts = (row.first, row.last, row.received, row.missing, row.explained + row.uncertain, row.duplicates)
        style = "" if row.complete else "bold red" if row.unproven or row.unexplained_duplicates else "yellow"
        out.print(Text(_line(f"  {clean(row.boot, 20)}", counts), style=style), soft_wrap=True)
    if len(rows) > _MOST_ROWS:
        out.print(f"... and {len(rows) - _MOST_ROWS} more that are not complete")
    for footnote in auditor.footnotes([row.topic for row in rows]):
        out.print(footnote, style="dim", soft_wrap=not out.is_terminal)
    if report.losses:
        causes = ", ".join(f"{count} {clean(cause)}" for cause, count in sorted(report.losses.items()))
        out.print(f"Loss records speak of {counted(sum(report.losses.values()), 'message')}: {causes}", soft_wrap=True)
    if gone := sum(report.thinned_first.values()):
        out.print(f"Of those thinned, {gone} had been merged into messages that were lost afterwards", soft_wrap=True)


def _line(name: str, columns: Sequence[object]) -> str:
    # Not a rich table: its columns would squeeze the topics, which have lines of their own here.
    return f"{name:<22}" + "".join(f"{column!s:>{width}}" for column, width in zip(columns, _WIDTHS, strict=True))


_STYLES: Final = {
    Outcome.NOTHING: "yellow",
    Outcome.COMPLETE: "green",
    Outcome.INTERRUPTED: "yellow",
    Outcome.INCOMPLETE: "red",
}


def verdict_text(found: Verdict) -> Text:
    """Return the sentence at the end, in colours."""
    style = _STYLES[found.outcome]
    text = Text(style="bold yellow") if found.outcome is Outcome.NOTHING else Text()
    text.append(found.headline, style=f"bold {style}")
    text.append(found.findings, style=style)
    text.append(found.remarks)
    text.append(found.malformed, style="yellow")
    return text
