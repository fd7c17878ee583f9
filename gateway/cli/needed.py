"""Loads a configuration for a command that needs only a part of it."""

from pathlib import Path

from gateway.cli.output import say
from gateway.core.errors import ConfigError
from gateway.core.foreign_text import LONGEST_TEXT, clean
from gateway.settings import Settings, load
from gateway.settings.load_folder import load_tolerant
from gateway.settings.secrets import is_missing_secret


def load_needed(folder: Path, device: str = "", *, needs_root: bool = False) -> Settings:
    """Return the configuration, without devices of which nothing is wrong but that a secret is not here.

    Which are left out, and why, is said on standard error. device: the one that is needed. needs_root: so is all of
    `gateway.yaml`; else its keys whose secret is not here have their defaults. Raises ConfigError.
    """
    try:
        return load(folder)
    except ConfigError as error:
        if not all(map(is_missing_secret, error.problems)):
            raise
        problems = error.problems
    settings = load_tolerant(folder, drop_missing=not needs_root)
    for problem in problems:
        if Path(problem.file).name == "gateway.yaml":
            say(clean(f"left out: {problem}", LONGEST_TEXT), err=True)
    for one in settings.refused:
        if one.name == device:
            raise ConfigError(one.problems)
        say(clean(f"{one.name} is left out: {one.problems[0]}", LONGEST_TEXT), err=True)
    return settings
