"""Variables GATEWAY__... that override the files: which key each one sets, and which ones set none."""

import difflib
import os
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from pydantic_settings import SettingsError

from gateway.core.errors import Problem
from gateway.settings.model import ENV_PREFIX, Root
from gateway.settings.source_files import KeyPath, SourceFile

_DEVICE_VARIABLE = f"{ENV_PREFIX}DEVICES__NAME__KEY with NAME the file's name in capitals"


class Environment:
    """The gateway's variables at one moment, by name in capitals."""

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        given = os.environ if environ is None else environ
        self.values = {name.upper(): text for name, text in given.items() if name.upper().startswith(ENV_PREFIX)}

    def variable(self, file: SourceFile, path: KeyPath, prefix: str = ENV_PREFIX) -> str | None:
        """Return the variable that set this key, something around it, or (if the file does not) something in it."""
        for end in range(len(path), 0, -1):
            name = prefix + "__".join(str(part) for part in path[:end]).upper()
            if name in self.values:
                return name
        inner = prefix + "".join(f"{part}__" for part in path).upper()
        below = [name for name in sorted(self.values) if name.startswith(inner)]
        return below[0] if path and below and path not in file.lines else None

    def below(self, path: KeyPath, prefix: str = ENV_PREFIX) -> str:
        """Return the variables that set something at or below a key path, separated by commas; empty without any."""
        inner = prefix + "".join(f"{part}__" for part in path).upper()
        return ", ".join(name for name in sorted(self.values) if name.startswith(inner))

    def override(self, file: SourceFile, device: str, value: dict[str, Any]) -> None:
        """Set the plain keys for which there are variables GATEWAY__DEVICES__NAME__KEY in a device's mapping."""
        prefix = device_prefix(device)
        for name, text in self.values.items():
            if name.startswith(prefix) and name != prefix:
                target = value
                *parents, last = name.removeprefix(prefix).lower().split("__")
                if "tags" in (last, *parents):
                    file.problems.append(Problem("environment", 0, name, "tags cannot be set here", "a plain key"))
                    continue
                for key in parents:
                    inner = target.setdefault(key, {})
                    if not isinstance(inner, dict):
                        file.problems.append(Problem("environment", 0, name, f"{key} is not a mapping", "a plain key"))
                        break
                    target = inner
                else:
                    target[last] = text

    def unreadable(self, error: SettingsError) -> Problem:
        """Return the problem of a variable that pydantic-settings cannot parse; it names only the field."""
        field = str(error).partition('field "')[2].partition('"')[0]
        names = [name for name in sorted(self.values) if name == f"{ENV_PREFIX}{field}".upper()]
        expected = "a JSON object, or one variable for each key"
        return Problem("environment", 0, (names or [""])[0], "is not valid JSON", expected)

    def unknown_settings(self) -> Iterator[Problem]:
        """Yield a problem for each variable that names no part of the configuration."""
        known = {name.upper() for name in Root.model_fields} | {"DEVICES"}
        for name in sorted(self.values):
            head, *rest = name.removeprefix(ENV_PREFIX).split("__")
            if head not in known:
                close = difflib.get_close_matches(head, known, 1)
                hint = f"{ENV_PREFIX}{close[0]}..." if close else "a key of gateway.yaml or DEVICES"
                yield Problem("environment", 0, name, "is not a known setting", hint)
            elif head == "DEVICES" and not rest:
                yield Problem("environment", 0, name, "names no device", _DEVICE_VARIABLE)

    def unknown_devices(self, devices: Collection[str]) -> Iterator[Problem]:
        """Yield a problem for each variable of a device that is not there. devices: the names of all."""
        stems = {_variable_part(name) for name in devices}
        for name in sorted(self.values):
            rest = name.removeprefix(f"{ENV_PREFIX}DEVICES__")
            if rest != name and not any(len(rest) > len(stem) + 2 and rest.startswith(f"{stem}__") for stem in stems):
                problem = "names no key of the device" if rest.rstrip("_") in stems else "names no device file"
                expected = f"{_DEVICE_VARIABLE}: {', '.join(sorted(stems)) or 'there is no device file'}"
                yield Problem("environment", 0, name, problem, expected)


def device_prefix(name: str) -> str:
    """Return how the variables for a device begin."""
    return f"{ENV_PREFIX}DEVICES__{_variable_part(name)}__"


def _variable_part(name: str) -> str:
    """Return a device's name as part of a variable's name."""
    return "".join(c if c.isalnum() else "_" for c in name).upper()
