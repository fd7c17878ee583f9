"""Variables GATEWAY__... that override the files: which key each one sets, and which ones set none."""

import os
import re
from bisect import bisect_left
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final

from pydantic_settings import SettingsError

from gateway.core.errors import Problem
from gateway.core.nearest import nearest
from gateway.settings import ceilings
from gateway.settings.model import ENV_PREFIX, Root
from gateway.settings.source_files import KeyPath, SourceFile

_DEVICE_VARIABLE = f"{ENV_PREFIX}DEVICES__NAME__KEY with NAME the file's name in capitals"

_TWO_UNDERSCORES: Final = re.compile("(?=__)")
_MOST_NAMED: Final = 20


class Environment:
    """The gateway's variables at one moment, by name in capitals."""

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        given = os.environ if environ is None else environ
        self.values = {name.upper(): text for name, text in given.items() if name.upper().startswith(ENV_PREFIX)}
        self._names = sorted(self.values)

    def variable(self, file: SourceFile, path: KeyPath, prefix: str = ENV_PREFIX) -> str | None:
        """Return the variable that set this key, something around it, or (if the file does not) something in it."""
        for end in range(len(path), 0, -1):
            name = prefix + "__".join(str(part) for part in path[:end]).upper()
            if name in self.values:
                return name
        if not path or path in file.lines:
            return None
        return next(self._beginning_with(prefix + "".join(f"{part}__" for part in path).upper()), None)

    def below(self, path: KeyPath, prefix: str = ENV_PREFIX) -> str:
        """Return the variables that set something at or below a key path, separated by commas; empty without any."""
        return ", ".join(self._beginning_with(prefix + "".join(f"{part}__" for part in path).upper()))

    def _beginning_with(self, prefix: str) -> Iterator[str]:
        """Yield the variables that begin so, in their order, without looking at all others."""
        for at in range(bisect_left(self._names, prefix), len(self._names)):
            if not self._names[at].startswith(prefix):
                return
            yield self._names[at]

    def override(self, file: SourceFile, device: str, value: dict[str, Any]) -> dict[str, Any]:
        """Return a device's mapping with the plain keys for which there are variables GATEWAY__DEVICES__NAME__KEY.

        The mapping itself stays as it is, since devices of one template share what is in it.
        """
        prefix, result = device_prefix(device), dict(value)
        for name in self._beginning_with(prefix):
            if name != prefix and (
                problem := _set(result, name.removeprefix(prefix).lower().split("__"), self.values[name])
            ):
                file.problems.append(Problem("environment", 0, name, problem, "a plain key"))
        return result

    def unreadable(self, error: SettingsError) -> Problem:
        """Return the problem of a variable that pydantic-settings cannot parse; it names only the field."""
        field = str(error).partition('field "')[2].partition('"')[0]
        names = [name for name in self._names if name == f"{ENV_PREFIX}{field}".upper()]
        expected = "a JSON object, or one variable for each key"
        return Problem("environment", 0, (names or [""])[0], "is not valid JSON", expected)

    def unknown_settings(self) -> Iterator[Problem]:
        """Yield a problem for each variable that names no part of the configuration."""
        known = {name.upper() for name in Root.model_fields} | {"DEVICES"}
        for name in self._names:
            head, *rest = name.removeprefix(ENV_PREFIX).split("__")
            if head not in known:
                close = nearest(head, known)
                hint = f"{ENV_PREFIX}{close}..." if close else "a key of gateway.yaml or DEVICES"
                yield Problem("environment", 0, name, "is not a known setting", hint)
            elif head == "DEVICES" and not rest:
                yield Problem("environment", 0, name, "names no device", _DEVICE_VARIABLE)

    def unknown_devices(self, devices: Collection[str]) -> Iterator[Problem]:
        """Yield a problem for each variable of a device that is not there. devices: the names of all."""
        stems = {_variable_part(name) for name in devices}
        known = ", ".join(sorted(stems)[:_MOST_NAMED]) or "there is no device file"
        expected = f"{_DEVICE_VARIABLE}: {known}{', ...' if len(stems) > _MOST_NAMED else ''}"
        for name in self._beginning_with(f"{ENV_PREFIX}DEVICES__"):
            rest = name.removeprefix(f"{ENV_PREFIX}DEVICES__")
            # a device's name may have two underscores itself: each place of two is a possible end of it
            ends = (found.start() for found in _TWO_UNDERSCORES.finditer(rest) if found.start() + 2 < len(rest))
            if not any(rest[:end] in stems for end in ends):
                problem = "names no key of the device" if rest.rstrip("_") in stems else "names no device file"
                yield Problem("environment", 0, name, problem, expected)


def _set(mapping: dict[str, Any], path: Sequence[str], text: str) -> str:
    """Set the value at a path, in copies of what is on the way. Returns what is wrong, empty for nothing."""
    if "tags" in path:
        return "tags cannot be set here"
    if len(path) > ceilings.DEPTH:
        return "is nested too deeply"
    *parents, last = path
    for key in parents:
        inner = mapping.get(key, {})
        if not isinstance(inner, dict):
            return f"{key} is not a mapping"
        mapping[key] = dict(inner)
        mapping = mapping[key]
    mapping[last] = text
    return ""


def device_prefix(name: str) -> str:
    """Return how the variables for a device begin."""
    return f"{ENV_PREFIX}DEVICES__{_variable_part(name)}__"


def _variable_part(name: str) -> str:
    """Return a device's name as part of a variable's name."""
    return "".join(c if c.isalnum() else "_" for c in name).upper()
