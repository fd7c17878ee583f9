"""The hash of a configuration, which everybody may see: it covers no secret, so none can be guessed against it."""

import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import orjson

from gateway.core.bounded_file import read_bounded
from gateway.settings import ceilings
from gateway.settings.problem_collector import ProblemCollector
from gateway.settings.source_files import is_secret
from gateway.settings.yaml_files import read_yaml

_MAY_HOLD_SECRET: Final = re.compile(rb"password|\\", re.IGNORECASE)
"""A YAML file without any of these has no secret: the name of a key can be written otherwise with a backslash only."""

_DIGITS: Final = 12


def config_hash(collector: ProblemCollector) -> str:
    """Return twelve hex digits that change with any file read or variable that overrides them, but with no secret of these.

    Of files that may hold one the values count, not the bytes: comments there change nothing.
    """
    return hash_of_files(sorted(collector.files_read), collector.environment.values)


def hash_of_files(files: Iterable[Path], variables: Mapping[str, str]) -> str:
    """Return the hash of these files, in this order, and variables, see `config_hash`."""
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.name.encode() + b"\0" + _content(path) + b"\0")
    for name, text in sorted(variables.items()):
        shown = "" if is_secret((name,)) else text
        digest.update(f"{name}={shown}\0".encode(errors="surrogateescape"))
    return digest.hexdigest()[:_DIGITS]


def _content(path: Path) -> bytes:
    try:
        content = read_bounded(path, max(ceilings.CSV_BYTES, ceilings.YAML_BYTES))
    except OSError:  # of a device that is left out: not there, a pipe, without end
        return b""
    if path.suffix == ".csv" or not _MAY_HOLD_SECRET.search(content):
        return content
    return orjson.dumps(_without_secrets(read_yaml(path, str(path)).value), default=str, option=orjson.OPT_NON_STR_KEYS)


def _without_secrets(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: None if is_secret((key,)) else _without_secrets(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_without_secrets(inner) for inner in value]
    return value
