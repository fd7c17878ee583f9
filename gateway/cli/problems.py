"""Print configuration problems."""

import sys
from pathlib import Path

from rich.text import Text

from gateway.cli.output import Output
from gateway.core.errors import ConfigError
from gateway.core.foreign_text import LONGEST_TEXT, clean
from gateway.core.plural import counted

EXIT_CONFIG = 2
"""Exit code for a configuration that cannot be used; systemd does not restart after it."""


_MOST = 200


def print_problems(error: ConfigError, folder: Path) -> None:
    """List every problem on standard error: place, key, what is wrong, what was expected."""
    console = Output(stderr=True)
    for problem in error.problems[:_MOST]:
        place = f"{problem.file}:{problem.line}" if problem.line else problem.file
        line = Text(clean(place, LONGEST_TEXT), style="bold")
        if problem.key:
            line.append(": " if place else "").append(clean(problem.key, LONGEST_TEXT), style="cyan")
        line.append(": " if line.plain else "").append(clean(problem.message, LONGEST_TEXT), style="red")
        if problem.expected:
            line.append("; expected ").append(clean(problem.expected, LONGEST_TEXT), style="green")
        console.print(line)
    count = len(error.problems)
    if count > _MOST:
        console.print(f"... and {count - _MOST} more")
    console.print(Text(f"{counted(count, 'problem')}: {clean(folder, LONGEST_TEXT)} cannot be used", style="bold red"))
    sys.stderr.flush()
