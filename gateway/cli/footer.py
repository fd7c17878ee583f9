"""The last line of `gateway tail` on a terminal: how much comes."""

import time
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

from rich.console import Console
from rich.live import Live
from rich.text import Text

from gateway.cli.verdict import Tally

_SPAN_S: Final = 5.0
_A_SECOND_TIMES: Final = 2


class Footer:
    """A line of rates, averaged over the last seconds. Rendered by rich, again and again."""

    def __init__(self, tally: Tally, now: Callable[[], float] = time.monotonic) -> None:
        self._tally = tally
        self._now = now
        self._seen: deque[tuple[float, int, int]] = deque([(now(), 0, 0)])

    def __rich__(self) -> Text:
        now, tally = self._now(), self._tally
        self._seen.append((now, tally.total, tally.values))
        while len(self._seen) > 2 and now - self._seen[1][0] >= _SPAN_S:
            self._seen.popleft()
        begin, messages, values = self._seen[0]
        span_s = max(now - begin, 0.001)
        line = Text(f"{(tally.total - messages) / span_s:,.1f} messages/s  ", style="bold")
        line.append(f"{(tally.values - values) / span_s:,.0f} values/s", style="bold")
        line.append(f"  {tally.total:,} messages", style="dim")
        if tally.lost:
            line.append(f"  {tally.lost:,} declared lost", style="bold red")
        if tally.malformed:
            line.append(f"  {tally.malformed:,} malformed", style="yellow")
        return line


def footer(out: Console, tally: Tally) -> AbstractContextManager[Any]:
    """Show the rates below what is printed meanwhile; nothing where there is no terminal."""
    if not out.is_terminal:
        return nullcontext()
    return Live(Footer(tally), console=out, refresh_per_second=_A_SECOND_TIMES, transient=True)
