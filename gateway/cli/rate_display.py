"""Rates of messages: the last line of `gateway tail` on a terminal, and with --rates a table of all topics."""

from collections import deque
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from time import monotonic
from typing import Any, Final

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from gateway.audit.traffic_stats import Flow, TrafficStats
from gateway.core.foreign_text import clean

_SPAN_S: Final = 5.0
_REFRESH_RATE: Final = 2
_LINES_KEPT_FREE: Final = 4
_WIDTHS: Final = (12, 10, 10, 11)


class RateFooter:
    """A line of rates, averaged over the last seconds. Rendered by rich, again and again."""

    def __init__(self, stats: TrafficStats, now: Callable[[], float] = monotonic) -> None:
        self._stats = stats
        self._now = now
        self._seen: deque[tuple[float, int, int]] = deque([(now(), 0, 0)])

    def __rich__(self) -> Text:
        now, stats = self._now(), self._stats
        self._seen.append((now, stats.total, stats.values))
        while len(self._seen) > 2 and now - self._seen[1][0] >= _SPAN_S:
            self._seen.popleft()
        begin, messages, values = self._seen[0]
        span_s = max(now - begin, 0.001)
        line = Text(f"{(stats.total - messages) / span_s:,.1f} messages/s  ", style="bold")
        line.append(f"{(stats.values - values) / span_s:,.0f} values/s", style="bold")
        line.append(f"  {stats.total:,} message{'' if stats.total == 1 else 's'}", style="dim")
        for count, label, style in (
            (stats.lost, "declared lost", "bold red"),
            (stats.merged, "merged", "dim"),
            (stats.malformed, "malformed", "yellow"),
            (stats.foreign, "of others", "dim"),
        ):
            if count:
                line.append(f"  {count:,} {label}", style=style)
        return line


class RateTable:
    """A table of topics by name, with their rates over the last seconds, and the footer below it.

    It is as high as the terminal: of more topics the busiest are shown.
    """

    def __init__(self, out: Console, stats: TrafficStats, now: Callable[[], float] = monotonic) -> None:
        self._out = out
        self._stats = stats
        self._now = now
        self._footer = RateFooter(stats, now)
        self._seen: deque[tuple[float, Mapping[str, Flow]]] = deque([(now(), {})])

    def __rich__(self) -> Group:
        now, flows = self._now(), self._stats.flows
        self._seen.append((now, {topic: replace(flow) for topic, flow in flows.items()}))
        while len(self._seen) > 2 and now - self._seen[1][0] >= _SPAN_S:
            self._seen.popleft()
        begin, before = self._seen[0]
        span_s = max(now - begin, 0.001)
        room = max(1, self._out.height - _LINES_KEPT_FREE)
        rates = {topic: _increase(flow, before.get(topic)) for topic, flow in flows.items()}
        shown = sorted(sorted(rates, key=lambda topic: -rates[topic][0])[:room])
        width = max(20, self._out.width - sum(_WIDTHS) - 1)
        lines = [Text(f"{'topic':<{width}}{_columns('messages/s', 'values/s', 'bytes/s', 'messages')}", style="bold")]
        for topic in shown:
            messages, values, size_bytes = (count / span_s for count in rates[topic])
            columns = _columns(f"{messages:,.1f}", f"{values:,.0f}", f"{size_bytes:,.0f}", f"{flows[topic].messages:,}")
            lines.append(Text(f"{_cut_topic(topic, width - 1):<{width}}", style="cyan").append(columns, style="default"))
        if len(rates) > len(shown):
            lines.append(Text(f"... and {len(rates) - len(shown)} that are less busy", style="dim"))
        return Group(*lines, self._footer.__rich__())


def rate_of(flow: Flow) -> str:
    """Return a topic's average rates from its first message to its last; empty where that is too short."""
    span_s = flow.last_s - flow.first_s
    if flow.messages < 3 or span_s < 1:
        return ""
    share = (flow.messages - 1) / flow.messages / span_s  # of the time between the messages there is one less than of them
    return (
        f"{flow.messages * share:,.3g} messages/s, {flow.values * share:,.3g} values/s, {_amount(flow.size_bytes * share)}/s"
    )


def footer(out: Console, stats: TrafficStats, *, board: bool = False) -> AbstractContextManager[Any]:
    """Show the rates below what the block prints; nothing where there is no terminal."""
    if not out.is_terminal:
        return nullcontext()
    return Live(
        RateTable(out, stats) if board else RateFooter(stats), console=out, refresh_per_second=_REFRESH_RATE, transient=True
    )


def _increase(flow: Flow, before: Flow | None) -> tuple[int, int, int]:
    if before is None:
        return flow.messages, flow.values, flow.size_bytes
    return flow.messages - before.messages, flow.values - before.values, flow.size_bytes - before.size_bytes


def _columns(*cells: str) -> str:
    return "".join(f"{cell:>{width}}" for cell, width in zip(cells, _WIDTHS, strict=True))


def _cut_topic(topic: str, width: int) -> str:
    """Return a topic cut to a width at its beginning: topics differ at the end."""
    text = clean(topic, 200)
    return text if len(text) <= width else f"…{text[-width + 1 :]}"


def _amount(size_bytes: float) -> str:
    return (
        f"{size_bytes:.0f} B"
        if size_bytes < 1e3
        else f"{size_bytes / 1e3:.1f} kB"
        if size_bytes < 1e6
        else f"{size_bytes / 1e6:.1f} MB"
    )
