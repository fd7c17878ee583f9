"""Where each value of a configuration comes from: a line of a file, a variable, or the default of its model."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, SecretStr

from gateway.core.foreign_text import LONGEST_TEXT, clean
from gateway.settings.environment import Environment, device_prefix
from gateway.settings.model import ENV_PREFIX, Settings
from gateway.settings.secrets import SecretReference
from gateway.settings.source_files import KeyPath, SourceFile, is_secret
from gateway.settings.yaml_files import read_yaml

HIDDEN: Final = "(not shown)"
_MOST_SETTINGS: Final = 20_000


@dataclass(frozen=True, slots=True)
class Setting:
    """One value of a configuration."""

    file: str
    """The file it belongs to, below the configuration folder."""
    key: str
    """Its dotted key."""
    value: Any
    """Its value as in the file or as its model reads it; secrets are not shown."""
    origin: str
    """`file:line`, the name of a variable, or `default`."""


def settings_with_origins(settings: Settings) -> list[Setting]:
    """Return every value of `gateway.yaml` and of the devices' own keys. Reads the files again: for a thread.

    Values are those that run; where a file was changed meanwhile, its lines are those of today.
    """
    environment = Environment()
    root = _read(settings.folder / "gateway.yaml")
    found = list(_of_model(settings.root, (), root, environment, "gateway.yaml", ENV_PREFIX))
    files = _device_files(settings.folder)
    for entry in settings.entries:
        name = entry.config.name
        file = files.get(name, SourceFile(f"devices ({name})"))
        found += _of_model(entry.config, (), file, environment, file.name, device_prefix(name))
        if len(found) > _MOST_SETTINGS:
            break
    return found[:_MOST_SETTINGS]


def _read(path: Path) -> SourceFile:
    return read_yaml(path, f"{path.parent.name}/{path.name}" if path.parent.name == "devices" else path.name)


def _device_files(folder: Path) -> dict[str, SourceFile]:
    """Return the file of each device that has one of its own, by the device's name."""
    found = {}
    for path in sorted((folder / "devices").glob("*.y*ml")):
        file = _read(path)
        if isinstance(file.value, dict):
            found[str(file.value.get("name", path.stem))] = file
    return found


def _of_model(
    model: BaseModel, path: KeyPath, file: SourceFile, environment: Environment, shown: str, prefix: str
) -> Iterator[Setting]:
    for name, field in type(model).model_fields.items():
        value, here = getattr(model, name), (*path, name)
        if isinstance(value, BaseModel):
            yield from _of_model(value, here, file, environment, shown, prefix)
        else:
            written = _written(file.value, here)
            variable = environment.variable(file, here, prefix)
            is_written = written is not _ABSENT and not variable
            origin = variable or (f"{file.name}:{file.line(here)}" if is_written else "default")
            found = written if is_written else field.default if not variable and isinstance(field.default, str) else value
            yield Setting(shown, ".".join(map(str, here)), _shown(here, found), origin)


_ABSENT: Final = object()


def _written(value: Any, path: KeyPath) -> Any:
    for part in path:
        if not isinstance(value, Mapping) or part not in value:
            return _ABSENT
        value = value[part]
    return value


def _shown(path: KeyPath, value: Any) -> Any:
    """Return a value as JSON carries it, without secrets."""
    if isinstance(value, SecretStr) or is_secret(path):
        return _of_secret(value)
    if isinstance(value, BaseModel):
        return {name: _shown((*path, name), getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, Mapping):
        return {str(key): _shown((*path, str(key)), inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_shown(path, inner) for inner in value]
    if isinstance(value, int | float) or value is None:
        return value
    return clean(str(value), LONGEST_TEXT)  # hides secrets that stand where a key takes any text


def _of_secret(value: Any) -> str:
    """Return what may be shown of a secret: its name where it has one, else that there is one. It is not looked up."""
    if isinstance(value, SecretReference):
        return str(value)
    return HIDDEN if (value.get_secret_value() if isinstance(value, SecretStr) else value) else ""
