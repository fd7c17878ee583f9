"""Warnings about a configuration without problems: it can be used, but something in it is probably a mistake."""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gateway.core.bounded_file import read_bounded
from gateway.core.config_types import existing_files
from gateway.core.ports.plugin import Plugin
from gateway.core.ports.sink_plugin import WithWarnings
from gateway.outbox.disk_room import disk_usage, shortage_text
from gateway.outbox.unsealed import plain_text
from gateway.settings import ceilings
from gateway.settings.configured_sinks import assignment_of
from gateway.settings.model import ENV_PREFIX, Root

_SECRET: Final = re.compile(r"^[^#\n]*\bpassword:[ \t]*(?!!secret\b)[^\s#]", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class ConfiguredDevice:
    """A device of a configuration without problems."""

    file: str
    """The file that configures it."""
    plugin: Plugin
    """Its protocol."""
    config: Any
    """The protocol's model of the device."""
    tags: Sequence[Any]
    """The protocol's models of its tags."""


def find_warnings(folder: Path, root: Root, devices: Sequence[ConfiguredDevice], files: Iterable[Path]) -> Iterator[str]:
    """Yield warnings as sentences that begin with their place. files: all that were read."""
    root_file = folder / "gateway.yaml"
    yield from _missing_files(root_file, root, devices)
    yield from _near_names(root)
    yield from _readable_secrets(files)
    for sink in root.all_sinks:
        place = ".".join(map(str, sink.place))
        for key, message in sink.plugin.warnings(sink.config) if isinstance(sink.plugin, WithWarnings) else ():
            yield f"{root_file}: {place}.{key} {message}"
    yield from (f"{root_file}: {text}" for text in _one_place(root))
    if (usage := disk_usage(root.outbox.path)) is not None:
        tags, merges = [len(device.tags) for device in devices], root.window.late == "merge"
        text = shortage_text(root.outbox, usage, tags, root.window.length, merges=merges)
        yield from [f"{root_file}: outbox.path: the disk of {root.outbox.path} {text}"] if text else []
    for path in dict.fromkeys((root.outbox.path, *assignment_of(root).paths.values())):
        if text := plain_text(root.outbox.model_copy(update={"path": path})):
            yield f"{root_file}: {text}"
    for device in devices:
        yield from _delay(device, root.window.grace)


def _one_place(root: Root) -> Iterator[str]:
    """Yield sinks of one kind at one place: there they share the status, and the end of either takes it away."""
    seen: dict[tuple[str, str], str] = {}
    for sink in root.all_sinks:
        place = sink.plugin.describe(sink.config)
        if (first := seen.setdefault((sink.plugin.name, place), sink.name)) != sink.name:
            yield f"sinks: {first} and {sink.name} both publish to {place}: when one connection breaks, status says offline"


def _missing_files(root_file: Path, root: Root, devices: Sequence[ConfiguredDevice]) -> Iterator[str]:
    """Yield files that cannot be read. Only warnings: a certificate may come later, and devices are read meanwhile."""
    files = [(f"{root_file}: {key}", path) for key, path in existing_files(root).items()]
    files += [(f"{device.file}: {key}", path) for device in devices for key, path in device.config.files().items()]
    for place, path in files:
        if not os.access(path, os.R_OK):
            yield f"{place}: {path} {'does not exist' if _is_missing(path) else 'cannot be read'}"


def _is_missing(path: Path) -> bool:
    """Return whether a path certainly does not exist; False where its folder cannot be read."""
    try:
        return not path.exists()
    except OSError:
        return False


def _near_names(root: Root) -> Iterator[str]:
    """Yield variables that look like settings but have one underscore where settings have two."""
    for name in sorted(os.environ):
        field, _, rest = name.upper().removeprefix("GATEWAY_").partition("_")
        if name.upper().startswith(ENV_PREFIX) or not name.upper().startswith("GATEWAY_") or not rest:
            continue
        if field.lower() in Root.model_fields and not _is_of_commands(name, root):
            yield f"environment: {name} is not read; {ENV_PREFIX}{field}__{rest} is, with two underscores"


def _is_of_commands(name: str, root: Root) -> bool:
    """Return whether it is the password of `gateway tail`: the gateway then has its own, or needs none."""
    has_own = getattr(root.sink, "password", "") or not getattr(root.sink, "username", "")
    return bool(has_own) and name == f"GATEWAY_{root.sink_plugin.name.upper()}_PASSWORD"


def _readable_secrets(files: Iterable[Path]) -> Iterator[str]:
    for path in files:
        if path.suffix in (".yaml", ".yml") and _shows_secret(path):
            yield f"{path}: everybody on this machine can read its password: chmod o-r, or a variable"


def _shows_secret(path: Path) -> bool:
    try:
        is_open = path.stat().st_mode & 0o004
        return bool(is_open and _SECRET.search(read_bounded(path, ceilings.YAML_BYTES).decode("utf-8", "replace")))
    except OSError:  # of a device that is left out: a pipe, a file without end
        return False


def _delay(device: ConfiguredDevice, grace_ns: int) -> Iterator[str]:
    delay_ns = max((device.plugin.traits(device.config, tag).delay_ns for tag in device.tags), default=0)
    if delay_ns > grace_ns:
        yield (
            f"{device.file}: values may come {delay_ns / 1e9:g} s after their time (interval, sampling), more than "
            f"window.grace ({grace_ns / 1e9:g} s): such windows are completed by supplements (late)"
        )
