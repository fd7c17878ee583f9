"""The verdict of a subscriber on completeness, as text without colours. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from typing import Final

from gateway.audit.ledger import Report, Row
from gateway.audit.traffic_stats import Absence, TrafficStats
from gateway.core.plural import counted

_MOST_TIMES: Final = 3


class Outcome(Enum):
    """The degree of completeness that is proven."""

    NOTHING = auto()
    """No message with a sequence number arrived."""
    COMPLETE = auto()
    INTERRUPTED = auto()
    """Complete but for what was sent while the subscriber itself was disconnected."""
    INCOMPLETE = auto()


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome in words, to be printed one after the other."""

    outcome: Outcome
    """What is proven."""
    headline: str
    """The outcome in a sentence."""
    findings: str = ""
    """What is missing, or cannot be known."""
    remarks: str = ""
    """What is no fault of the gateway."""
    malformed: str = ""
    """Messages that could not be read."""


def is_proven(report: Report, stats: TrafficStats) -> bool:
    """Return whether every number is there or accounted for, and none can have been missed during an absence."""
    if stats.absences and report.fleeting:
        return False
    return bool(report.rows) and report.complete and all(absence.kept for absence in stats.absences)


def verdict(report: Report, stats: TrafficStats) -> Verdict:
    """Return the conclusion from a report and what has arrived."""
    if not report.rows:
        return Verdict(Outcome.NOTHING, "Nothing to prove: no message with a sequence number arrived.")
    malformed = f" {counted(stats.malformed, 'malformed message')}." if stats.malformed else ""
    absent = _absent(stats.absences) if stats.absences else ""
    if is_proven(report, stats):
        remarks = f" {absent}; the broker kept what came meanwhile." if absent else ""
        return Verdict(Outcome.COMPLETE, _complete(report), remarks=remarks, malformed=malformed)
    if report.sound:
        headline = "Complete except while tail itself was disconnected: "
        findings = f"{_unproven(report)}. {_complete(report)} {absent}."
        return Verdict(Outcome.INTERRUPTED, headline, findings, malformed=malformed)
    remarks = f" {absent}: {_unproven(report)}, not necessarily lost." if absent else ""
    return Verdict(Outcome.INCOMPLETE, "NOT complete: ", "; ".join(_faults(report.rows)) + ".", remarks, malformed)


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
    parts = [f"{lost} declared lost"] if lost else []
    parts += [f"{merged} that came merged into longer windows"] if merged else []
    parts += [f"{uncertain} possibly lost in an unclean stop"] if uncertain else []
    return f" but for {' and '.join(parts)}" if parts else ""


def _faults(rows: tuple[Row, ...]) -> list[str]:
    missing, twice = sum(row.unproven for row in rows), sum(row.unexplained_duplicates for row in rows)
    faults = [f"{counted(missing, 'sequence number')} missing without a loss record"] if missing else []
    return faults + ([f"{counted(twice, 'duplicate')} without a reason"] if twice else [])


def _unproven(report: Report) -> str:
    """Return what an absence leaves open."""
    away = sum(row.away for row in report.rows)
    text = f"{counted(away, 'sequence number')} unproven"
    if report.silent:
        text += f", and how {counted(report.silent, 'row')} went on, of which nothing has come since"
    return text


def _absent(absences: Sequence[Absence]) -> str:
    times = [f"{_clock(one.begin_s)}-{_clock(one.end_s)}" for one in absences[:_MOST_TIMES]]
    more = f" and {len(absences) - _MOST_TIMES} times more" if len(absences) > _MOST_TIMES else ""
    return f"Tail was disconnected {', '.join(times)}{more}"


def _clock(time_s: float) -> str:
    return datetime.fromtimestamp(time_s).strftime("%H:%M:%S")
