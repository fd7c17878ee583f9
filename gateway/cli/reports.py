"""Print the reports of protocols, and find the protocol that a command needs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from rich.progress import Progress, TaskID
from rich.text import Text
from rich.tree import Tree as RichTree

from gateway.cli.needed import load_needed
from gateway.cli.output import Output, listing, progress_bars, say
from gateway.cli.problems import EXIT_CONFIG, print_problems
from gateway.core.config_types import DeviceModel
from gateway.core.errors import ConfigError, GatewayError, UsageError
from gateway.core.foreign_text import clean
from gateway.core.ports.plugin import DeviceEntry, Plugin
from gateway.core.report import Item, Line, Note, Part, RawText, Report, Styled, Table, Tree
from gateway.plugins import SOURCES
from gateway.settings import Settings
from gateway.settings.error_text import error_lines

EXIT_INCOMPLETE = 1
_LONGEST_PART = 20_000
_STYLES = {"strong": "bold", "faint": "dim", "value": "cyan", "good": "green", "warning": "yellow", "bad": "red"}

T = TypeVar("T")


def run_command(work: Callable[[], Report], folder: Path = Path()) -> int:
    """Print the report of a command, or its error. Returns the exit code. folder: the configuration that it reads."""
    try:
        report = work()
    except ConfigError as error:
        print_problems(error, folder)
        return EXIT_CONFIG
    except ValidationError as error:
        return _fail("\n".join(error_lines(error, DeviceModel)), EXIT_CONFIG)
    except UsageError as error:
        return _fail(str(error), EXIT_CONFIG)
    except GatewayError as error:
        return _fail(str(error), EXIT_INCOMPLETE)
    print_report(report)
    return 0 if report.is_complete else EXIT_INCOMPLETE


def _fail(text: str, code: int) -> int:
    Output(stderr=True).print(Text(text, style="red"))
    return code


def print_report(report: Report) -> None:
    """Print all items of a report in their order, notes on standard error."""
    for item in report.items:
        print_item(item)


def print_item(item: Item) -> None:
    """Print one item; a note on standard error."""
    if isinstance(item, RawText):
        say(item.text, err=item.is_note, end="")
    elif isinstance(item, Note):
        Output(stderr=True).print(_text(item.line))
    elif isinstance(item, Table):
        headings, title = map(clean, item.headings), clean(item.title, _LONGEST_PART)
        table = listing(*headings, right=item.numeric, title=title)
        for row in item.rows:
            table.add_row(*map(_text, row))
        Output().print_unfolded(table)
    elif isinstance(item, Tree):
        Output().print_unfolded(_tree(item))
    else:
        Output().print(_text(item))


def _text(line: Line) -> Text:
    parts: tuple[Part, ...] = (line,) if isinstance(line, str | Styled) else line
    text = Text()
    for part in parts:
        words, style = (part.text, _STYLES[part.style]) if isinstance(part, Styled) else (part, "")
        text.append(clean(words, _LONGEST_PART), style=style)
    return text


def _tree(tree: Tree, inside: RichTree | None = None) -> RichTree:
    shown = RichTree(_text(tree.line)) if inside is None else inside.add(_text(tree.line))
    for child in tree.children:
        _tree(child, shown)
    return shown


class TerminalProgress:
    """The progress of a command: a bar on a terminal for each step whose end is known, one line for the others."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._bars: dict[str, TaskID] = {}
        self._line: TaskID | None = None

    def update(self, step: str, done: int = 0, total: int = 0) -> None:
        """Show the current step."""
        if total:
            if step not in self._bars:
                self._bars[step] = self._progress.add_task(step, total=total)
            self._progress.update(self._bars[step], completed=done)
        elif self._line is None:
            self._line = self._progress.add_task(step, total=None)
        else:
            self._progress.update(self._line, description=step)

    def show(self, item: Item) -> None:
        """Print an item now, above the bars."""
        if isinstance(item, Note):
            self._progress.console.print(_text(item.line))
        else:
            self._progress.stop()
            print_item(item)
            self._progress.start()


@contextmanager
def progress() -> Iterator[TerminalProgress]:
    """Show progress on a terminal while the block runs; nothing elsewhere but the items that are shown."""
    errors = Output(stderr=True)
    with progress_bars(errors, transient=True) as bars:
        yield TerminalProgress(bars)


def is_url(what: str) -> bool:
    """Return whether a word of a command line is an address, and not the name of a configured device."""
    return "://" in what or any(what.startswith(f"{scheme}:") for one in SOURCES.values() for scheme in one.url_schemes)


def plugin_for_url(url: str, capability: type[T], participle: str) -> T:
    """Return the protocol of a URL. participle: what the command does with its devices. Raises UsageError."""
    scheme = url.partition(":")[0]
    plugin = next((one for one in SOURCES.values() if scheme in one.url_schemes), None)
    if plugin is None:
        able = [one for one in SOURCES.values() if isinstance(one, capability)]
        if len(able) == 1:
            return able[0]  # which explains better what is wrong with the address
        known = [f"{scheme}://" for one in able for scheme in one.url_schemes]
        raise UsageError(f"{url!r} is no address that can be {participle}; expected {' or '.join(known)}")
    if not isinstance(plugin, capability):
        raise UsageError(missing_capability(plugin, capability, participle))
    return plugin


def plugin_for_device(folder: Path, name: str, capability: type[T], participle: str) -> tuple[T, DeviceEntry]:
    """Return a configured device that is enabled, and its protocol. Raises ConfigError, UsageError."""
    return plugin_of(load_needed(folder, name), name, capability, participle)


def plugin_of(settings: Settings, name: str, capability: type[T], participle: str) -> tuple[T, DeviceEntry]:
    """Return a device of a configuration that is enabled, and its protocol. Raises UsageError."""
    devices = {entry.config.name: (one, entry) for one, entry in zip(settings.plugins, settings.entries, strict=True)}
    able = [one for one in SOURCES.values() if isinstance(one, capability)]
    if name not in devices:
        scheme = next((scheme for one in able for scheme in one.url_schemes), "")
        hint = f"; an address is written {scheme}://{name}" if scheme and (":" in name or "." in name) else ""
        raise UsageError(f"no device is called {name!r}; there are: {', '.join(devices) or 'none'}{hint}")
    plugin, entry = devices[name]
    if not isinstance(plugin, capability):
        titles = " or ".join(one.title for one in able)
        wanted = f"; expected {'an' if titles[0] in 'AEIO' else 'a'} {titles} device" if titles else ""
        raise UsageError(f"{name} speaks {plugin.name}{wanted}: {missing_capability(plugin, capability, participle)}")
    return plugin, entry


def missing_capability(plugin: Plugin, capability: type[Any], participle: str) -> str:
    """Return the sentence that a protocol lacks what a command needs, and which ones have it."""
    able = [one.name for one in SOURCES.values() if isinstance(one, capability)]
    return f"protocol {plugin.name} cannot be {participle}" + (f"; {' and '.join(able)} can" if able else "")
