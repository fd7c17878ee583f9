"""The last configuration that ran, kept beside the outbox for a start at which the new one cannot be used."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from gateway.core.errors import ConfigError
from gateway.core.private_files import write_private
from gateway.outbox.config import OutboxConfig
from gateway.settings.config_hash import hash_of_files
from gateway.settings.device_parts import device_parts, with_kept
from gateway.settings.environment import Environment
from gateway.settings.load_folder import load_tolerant
from gateway.settings.model import ENV_PREFIX, Settings
from gateway.settings.yaml_files import read_yaml

_SUFFIX: Final = ".config"
_PATH_VARIABLE: Final = f"{ENV_PREFIX}OUTBOX__PATH"


def kept_folder(outbox: Path) -> Path:
    """Return the folder of the configuration that is kept beside an outbox."""
    return outbox.with_name(outbox.name + _SUFFIX)


def keep_configuration(settings: Settings) -> bool:
    """Keep the files of a configuration that has run, as they were written; for the own user only. Blocks.

    Files outside of the configuration folder, certificates for instance, and variables are not copied. Returns False where
    the files are not those that run any more. Raises OSError.
    """
    target = kept_folder(settings.root.outbox.path)
    fresh, old = target.with_name(target.name + ".new"), target.with_name(target.name + ".old")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o700)
    copies = []
    for path in sorted(settings.files):
        copy = path
        if path.is_relative_to(settings.folder) and path.is_file():
            copy = fresh / path.relative_to(settings.folder)
            copy.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_private(copy, path.read_bytes())
        copies.append(copy)
    if hash_of_files(copies, Environment().values) != settings.hash:
        shutil.rmtree(fresh, ignore_errors=True)
        return False
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        target.rename(old)
    fresh.rename(target)
    shutil.rmtree(old, ignore_errors=True)
    return True


def load_kept(folder: Path, outbox: Path) -> Settings | None:
    """Return the configuration that is kept beside an outbox, None where there is none that can be used."""
    target = kept_folder(outbox)
    for place in (target, target.with_name(target.name + ".old")):  # a power cut between two renames leaves the old one
        if place.is_dir():
            try:
                return replace(load_tolerant(place, relative_to=folder), folder=folder)
            except ConfigError:
                continue
    return None


def load_for_run(folder: Path) -> Settings:
    """Return what a start runs: what the folder says, and where that cannot be used, the last configuration that ran.

    Raises ConfigError where neither can be used.
    """
    try:
        settings = load_tolerant(folder)
    except ConfigError as error:
        kept = load_kept(folder, path) if (path := _outbox_path(folder)) is not None else None
        if kept is None:
            raise
        return replace(kept, refused_root=str(error.problems[0]))
    wanted = {one.name for one in settings.refused}
    kept = load_kept(folder, settings.root.outbox.path) if wanted else None
    known = wanted & device_parts(kept).keys() if kept is not None else set[str]()
    if kept is None or not known:
        return settings
    mixed = with_kept(settings, kept, known)
    if any(faults_of_layouts(mixed)):
        return settings
    refused = tuple(replace(one, is_kept=one.name in known) for one in settings.refused)
    return replace(mixed, refused=refused)


def faults_of_layouts(settings: Settings) -> Iterator[Any]:
    """Yield what layouts find wrong with a mixture of two configurations."""
    from gateway.plugins import LAYOUTS

    for scope in settings.layout_scopes:
        for plugin in LAYOUTS.values():
            yield from plugin.check(scope)


def _outbox_path(folder: Path) -> Path | None:
    """Return the outbox's path as far as it is known where `gateway.yaml` cannot be used."""
    variable = Environment().values.get(_PATH_VARIABLE)
    value = read_yaml(folder / "gateway.yaml", "gateway.yaml").value
    section = value.get("outbox") if isinstance(value, dict) else None
    written = section.get("path") if isinstance(section, dict) else None
    given = variable or (written if isinstance(written, str) else None)
    try:
        return folder.absolute() / Path(given).expanduser() if given else OutboxConfig().path
    except (RuntimeError, ValueError):
        return None
