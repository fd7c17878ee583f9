"""`gateway add`: look at a device, write its file and its tags, and read it once."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import typer
import yaml

from gateway.cli.interrupt import run_async
from gateway.cli.output import say
from gateway.cli.reports import print_report, progress, run_command
from gateway.core.errors import ConfigError, UsageError
from gateway.core.foreign_text import LONGEST_TEXT, clean
from gateway.core.ports.device_tools import Draft, Draftable, Options, Readable
from gateway.core.ports.plugin import Plugin
from gateway.core.report import Report
from gateway.plugins import SOURCES
from gateway.settings import load
from gateway.settings.templates import find_template

_MOST_READ: Final = 20
"""Tags that are read once for a look."""


@dataclass(frozen=True, slots=True)
class NewDevice:
    """What the command line says of the device."""

    protocol: str
    """Name of a protocol."""
    url: str
    """Where it is."""
    name: str
    """Empty: asked for, or made from the address."""
    template: str
    """Empty: the device is looked at."""
    keys: dict[str, Any]
    """Keys of its file that were given."""
    yes: bool
    """Do not ask."""


def add_device(folder: Path, new: NewDevice, options: Options) -> int:
    """Write the files of a device; existing ones are never changed. Returns the exit code."""
    return run_command(lambda: _add(folder, new, options), folder)


def _add(folder: Path, new: NewDevice, options: Options) -> Report:
    plugin = _plugin(new)
    if not (folder / "gateway.yaml").exists():
        raise UsageError(f"{folder} has no gateway.yaml: gateway init {folder} makes one")
    if new.template and find_template(folder, new.template) is None:
        raise UsageError(f"{new.template!r} is no template: gateway templates lists them")
    name = _name(new)
    file, table = folder / "devices" / f"{name}.yaml", folder / "tags" / f"{name}.csv"
    for path in (file, table):
        if path.exists():
            raise UsageError(f"{path} is there already; expected another --name")
    draft = Draft() if new.template else _look(plugin, new.url, options)
    print_report(Report(draft.about))
    text = _device_text(new, draft, table.name)
    say(f"\n{clean(file, LONGEST_TEXT)}:\n{text}")
    if not new.yes and not typer.confirm("Write this file" + (f" and {table}?" if draft.tag_file else "?"), default=True):
        raise UsageError("nothing was written")
    written = {file: text} | ({table: draft.tag_file} if draft.tag_file else {})
    _write(written)
    try:
        return _read_once(folder, plugin, name)
    except ConfigError as error:
        if any(problem.file in map(str, written) for problem in error.problems):
            for path in written:
                path.unlink()
            say("these files would not be valid, and were taken away again", err=True)
        raise


def _plugin(new: NewDevice) -> Plugin:
    plugin = SOURCES.get(new.protocol)
    if plugin is None:
        raise UsageError(f"{new.protocol!r} is no protocol; expected {' or '.join(SOURCES)}")
    if new.url.partition(":")[0] not in plugin.url_schemes:
        known = " or ".join(f"{scheme}://" for scheme in plugin.url_schemes)
        raise UsageError(f"{new.url!r} is no address of {plugin.title}; expected {known}")
    return plugin


def _name(new: NewDevice) -> str:
    host = urlsplit(new.url).hostname or Path(urlsplit(new.url).path).name
    proposed = Path(new.template).stem or f"{new.protocol}-{host}"
    name = new.name or re.sub(r"[^A-Za-z0-9_-]+", "-", proposed).strip("-") or new.protocol
    if not new.name and not new.yes:
        name = typer.prompt("Name of the device (a level of its topics)", default=name)
    if not re.fullmatch(r"[^/\\\0+#$][^/\\\0+#]*", name) or name.startswith("."):
        raise UsageError(f"--name: {name!r} cannot be the name of a file and a topic; expected for instance press")
    return str(name)


def _look(plugin: Plugin, url: str, options: Options) -> Draft:
    """Return what the protocol finds at an address."""
    if not isinstance(plugin, Draftable):
        raise UsageError(f"{plugin.title} devices cannot be looked at: expected --template")
    with progress() as bars:
        return run_async(plugin.draft(url, options, bars))


def _device_text(new: NewDevice, draft: Draft, tag_file: str) -> str:
    head = {"template": new.template} if new.template else {"protocol": new.protocol}
    keys = head | {"url": new.url} | new.keys | dict(draft.keys)
    if draft.tag_file:
        keys["tag_file"] = tag_file
    text = yaml.safe_dump(keys, sort_keys=False, allow_unicode=True, width=200)
    if "username" in keys:
        text += f"password: !secret {re.sub(r'[^A-Za-z0-9._-]', '-', Path(tag_file).stem)}\n"
    schema = "# yaml-language-server: $schema=../device.schema.json\n"
    return f"{schema}# written by gateway add; it is yours to change\n{text}"


def _write(files: dict[Path, str]) -> None:
    try:
        for path, text in files.items():
            path.parent.mkdir(exist_ok=True)
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
            say(f"made {clean(path, LONGEST_TEXT)}")
    except OSError as error:
        raise UsageError(f"{error.filename}: cannot be written: {error.strerror}") from None


def _read_once(folder: Path, plugin: Plugin, name: str) -> Report:
    """Read some of the new tags, as a proof, and say what comes next."""
    settings = load(folder)
    entry = next(one for one in settings.entries if one.config.name == name)
    say(f"next: name and scale the tags, then gateway check --config {folder} and gateway run --config {folder}", err=True)
    if not isinstance(plugin, Readable) or not entry.tags:
        return Report(())
    return run_async(plugin.read_tags(entry.config, entry.tags[:_MOST_READ], None))
