"""Device templates: the keys that equal devices share, with parameters for those that differ."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from gateway.core.nearest import nearest
from gateway.settings import ceilings
from gateway.settings.error_text import quote_value
from gateway.settings.secrets import SecretReference
from gateway.settings.source_files import KeyPath, SourceFile

_PARAMETER = re.compile(r"\$\{(\w+)\}")
_PLACE = "a file below templates/, or one that `gateway templates` lists"
SHIPPED = Path(__file__).parents[1] / "templates"
"""The templates that come with the gateway."""


def expand(
    folder: Path, read: Callable[[Path], SourceFile], file: SourceFile, value: dict[str, Any]
) -> tuple[dict[str, Any], SourceFile | None]:
    """Return the device with its template filled in, and the template, None where there is none or it is missing.

    `template: meters/em340.yaml` names a file below templates/, or one that comes with the gateway; `parameters:` gives
    values for each ${name} in it, whose defaults are in the template's own `parameters:`. Keys of the device win over the
    template's. Problems are added to the file that is to be corrected, also those that are found later in keys from the
    template. read: returns a template.
    """
    own = {key: item for key, item in value.items() if key not in ("template", "parameters")}
    if "template" not in value:
        if "parameters" in value:
            file.add(("parameters",), "stands without a template", "template: and the name of a file")
        return own, None
    path = _path(folder, value["template"])
    if path is None:
        known = [name for place in (own_templates(folder), shipped_templates()) for name, _ in place]
        close = nearest(str(value["template"]), known)
        file.add(
            ("template",),
            f"{quote_value(value['template'])} is not a template that is there",
            f"{close}?" if close else _PLACE,
        )
        return own, None
    template = read(path)
    if not isinstance(template.value, dict):
        if not template.problems:
            template.add((), "is not a mapping", "keys such as protocol:, parameters:, tags:")
        return own, template
    given = _parameters(file, value)
    defaults = _parameters(template, template.value)
    for name in sorted(given.keys() - defaults.keys() - _names(template.value)):
        file.add(("parameters", name), "is not a parameter of the template")
    filled = {
        key: _fill(template, item, (key,), defaults | given) for key, item in template.value.items() if key != "parameters"
    }
    for key in filled.keys() & {"template"}:
        template.add((key,), "a template cannot use another one")
    if "tags" in filled and "tags" in own:
        file.add(("tags",), "stand in the template already", "tags in the template, or tag_file for more")
    file.origins |= {key: template for key in filled if key not in own}
    return filled | own, template


def _path(folder: Path, name: Any) -> Path | None:
    if not isinstance(name, str) or not name or name.startswith("/") or ".." in PurePosixPath(name).parts:
        return None
    try:
        places = (folder / "templates" / name, SHIPPED / name)
        return next((path for path in places if path.is_file()), None)
    except (OSError, ValueError):
        return None


def shipped_templates() -> Iterator[tuple[str, str]]:
    """Yield name and first line of every template that comes with the gateway, by name."""
    yield from _templates_in(SHIPPED)


def own_templates(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the same of the templates in a configuration folder, which stand in for shipped ones of their names."""
    yield from _templates_in(folder / "templates")


def _templates_in(place: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(place.rglob("*.yaml")):
        lines = (line.lstrip("# ").strip() for line in path.read_text("utf-8", errors="replace").splitlines())
        yield path.relative_to(place).as_posix(), next((line for line in lines if line and "$schema" not in line), "")


def find_template(folder: Path, name: str) -> Path | None:
    """Return the file of a template: in the configuration folder, else the shipped one; None where there is none."""
    return _path(folder, name)


def _parameters(file: SourceFile, value: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters that a file sets: plain values by name."""
    found = {} if value.get("parameters") is None else value["parameters"]
    if not isinstance(found, dict):
        file.add(("parameters",), "is not a mapping", "name: value")
        return {}
    for name, item in found.items():
        if not isinstance(item, str | int | float | SecretReference) and item is not None:
            file.add(("parameters", name), "is not a plain value", "text or a number")
    return found


def _names(item: Any) -> set[str]:
    """Return all parameters that are used in a value."""
    if isinstance(item, str):
        return set(_PARAMETER.findall(item))
    inner = item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()
    return set().union(*(_names(one) for one in inner))


def _fill(template: SourceFile, item: Any, path: KeyPath, values: dict[str, Any]) -> Any:
    """Return the value with its parameters filled in. What is nothing but one parameter keeps the parameter's type."""
    if isinstance(item, dict):
        return {key: _fill(template, one, (*path, key), values) for key, one in item.items()}
    if isinstance(item, list):
        return [_fill(template, one, (*path, at), values) for at, one in enumerate(item)]
    return _fill_text(template, item, path, values) if isinstance(item, str) and _PARAMETER.search(item) else item


def _fill_text(template: SourceFile, item: str, path: KeyPath, values: dict[str, Any]) -> Any:
    names = _PARAMETER.findall(item)
    missing = [name for name in names if values.get(name) is None]
    if missing:
        template.add(path, f"needs the parameter {missing[0]}, which a device does not give", f"parameters: {missing[0]}:")
        return item
    if _PARAMETER.fullmatch(item):
        return values[names[0]]
    if secret := next((name for name in names if isinstance(values[name], SecretReference)), None):
        template.add(path, f"puts the secret {secret} into a longer text", f"the parameter alone: ${{{secret}}}")
        return item
    length = len(item) + sum(len(str(values[name])) for name in names)
    if length > ceilings.TEXT_CHARACTERS:
        template.add(path, f"becomes a text of {length} characters", f"at most {ceilings.TEXT_CHARACTERS}")
        return item
    return _PARAMETER.sub(lambda match: str(values[match[1]]), item)
