"""Standard output for people: consoles, tables that are not folded, and closed pipes."""

import os
import sys
import threading
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import orjson
import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.segment import Segment
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from gateway.core.foreign_text import LONGEST_TEXT, clean, clean_lines

EXIT_UNWRITABLE = 1
_WIDEST = 10_000


def describe_error(error: Exception) -> str:
    """Return the text of an error, without the error numbers of the operating system."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror if error.filename is None else f"{clean(error.filename, LONGEST_TEXT)}: {error.strerror}"
    return str(error)


def say(text: str, *, err: bool = False, end: str = "\n") -> None:
    """Print lines as they are, but for what a terminal would obey. err: on standard error."""
    typer.echo(clean_lines(text) + end, nl=False, err=err)


def json_line(value: Any) -> bytes:
    """Return a value as a line of JSON that is safe on a terminal: what is not printable is escaped."""
    line = orjson.dumps(value)
    text = line.decode()
    if not text.isprintable():
        line = "".join(c if c.isprintable() else _json_escape(c) for c in text).encode()
    return line + b"\n"


def _json_escape(c: str) -> str:
    code = c.encode("utf-16-be").hex()
    return "".join(f"\\u{code[at : at + 4]}" for at in range(0, len(code), 4))


def listing(*headings: str, right: Collection[str] = (), title: str = "") -> Table:
    """Return an empty table that is no wider than its words: it fits a terminal of 80 columns, and tools read it by words.

    right: headings of columns of numbers.
    """
    table = Table(
        title=title or None, title_justify="left", title_style="bold", header_style="bold", box=None, pad_edge=False
    )
    table.padding = (0, 2, 0, 0)
    for heading in headings:
        table.add_column(heading, justify="right" if heading in right else "left", overflow="fold")
    return table


class Output(Console):
    """A console on standard output (or error) that raises BrokenPipeError when the reader has closed the pipe.

    No text is read as markup, and whatever is printed, the terminal obeys only the console itself.
    """

    def __init__(self, *, stderr: bool = False, soft_wrap: bool = True) -> None:
        stream = sys.stderr if stderr else sys.stdout
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # never an encoding error
        super().__init__(stderr=stderr, highlight=False, emoji=False, markup=False, soft_wrap=soft_wrap)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Return the segments of what is printed, cleaned."""
        for segment in super().render(renderable, options):
            text = segment.text if segment.control else clean_lines(segment.text)
            yield segment if text == segment.text else Segment(text, segment.style)

    def on_broken_pipe(self) -> None:
        """Raise BrokenPipeError; rich would end the process at once."""
        raise BrokenPipeError

    def print_unfolded(self, shown: Table | Tree) -> None:
        """Print a table or tree in its full width, so that everything can be copied from it."""
        before, self.width = self.width, _WIDEST
        self.width = max(before, shown.__rich_measure__(self, self.options).maximum)
        self.print(shown)
        self.width = before


def progress_bars(console: Console, *, transient: bool = False) -> Progress:
    """Return bars for steps, shown on a terminal only. Their descriptions are not read as markup."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=transient, disable=not console.is_terminal)


@contextmanager
def waiting_for(text: str, after_s: float = 1.0) -> Iterator[None]:
    """Show a text on a terminal while the block runs, after `after_s` seconds; nothing elsewhere."""
    console = Output(stderr=True)
    if not console.is_terminal:
        yield
        return
    status = console.status(Text(text))
    timer = threading.Timer(after_s, status.start)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        status.stop()


def discard_output() -> None:
    """Discard the output that is still buffered, so that a closed pipe causes no error at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def exit_on_closed_output() -> Iterator[None]:
    """Exit with code 1 where the block cannot write to standard output: a closed pipe or a full disk is no bug."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        discard_output()
        raise typer.Exit(EXIT_UNWRITABLE) from None
    except OSError as error:
        if error.filename is not None:
            raise
        discard_output()
        say(f"Cannot write the output: {error.strerror}", err=True)
        raise typer.Exit(EXIT_UNWRITABLE) from None
