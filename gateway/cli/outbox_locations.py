"""Where the outboxes of a gateway are: one file, or one for each sink."""

import os
from dataclasses import dataclass
from pathlib import Path

from gateway.cli.needed import load_needed
from gateway.core.config_types import resolve_link
from gateway.core.errors import ConfigError
from gateway.settings import Settings
from gateway.settings.configured_sinks import assignment_of


@dataclass(frozen=True, slots=True)
class OutboxLocation:
    """Where an outbox is, and how to open it."""

    file: Path
    """The database."""
    key_file: str = ""
    """As configured, empty when only the file is known."""
    max_bytes: int = 0
    """As configured, 0 when only the file is known."""
    sink: str = ""
    """Whose it is, where there are several sinks."""
    is_removed: bool = False
    """That sink is configured no more."""

    @property
    def title(self) -> str:
        """Return whose it is and where, for people."""
        return f"sink {self.sink}{' (configured no more)' if self.is_removed else ''}: {self.file}"


def locations(path: Path, key_file: str, sink: str = "") -> list[OutboxLocation]:
    """Return the outbox of a database, or those of the configuration folder that names them, at least one.

    sink: only that of this one. Raises ConfigError.
    """
    if not path.is_dir():
        if sink:
            raise ConfigError(f"--sink {sink}: {path} is a file already; name the configuration folder, or no sink")
        return [OutboxLocation(resolve_link(path), key_file)]
    found = configured(load_needed(path), key_file)
    if sink:
        found = [one for one in found if one.sink == sink] or _unknown(sink, found)
    return found


def configured(settings: Settings, key_file: str = "") -> list[OutboxLocation]:
    """Return the outboxes of a configuration; those of removed sinks last. Reads which file is whose."""
    outbox = settings.root.outbox
    sinks = settings.root.all_sinks
    assignment = assignment_of(settings.root)
    key_file = key_file or outbox.key_file
    is_alone = not sinks[0].is_listed and not assignment.removed
    found = [
        OutboxLocation(assignment.paths[sink.name], key_file, sink.outbox.max_bytes, "" if is_alone else sink.name)
        for sink in sinks
    ]
    gone = [
        OutboxLocation(file, key_file, 0, name, True) for name, file in assignment.removed.items() if os.path.exists(file)
    ]
    return [*found, *gone]


def _unknown(sink: str, found: list[OutboxLocation]) -> list[OutboxLocation]:
    names = ", ".join(one.sink for one in found if one.sink)
    raise ConfigError(f"--sink {sink}: no such sink; expected {names or 'none: there is only one'}")
