"""Write docs/reference/: every key of the configuration and every command, from the program itself.

The keys come from `gateway schema`, which asks each protocol for its models, so a new protocol gets its page without a line
here. `make docs` writes the pages; tests/unit/test_reference.py says when they are out of date.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from tools.reference_commands import commands_pages
from tools.reference_types import default_text, type_text

Schema = dict[str, Any]

FOLDER: Final = Path(__file__).resolve().parent.parent / "docs" / "reference"
_NOTE: Final = "<!-- Written by `make docs` from the program. Do not edit: change the docstrings of the models instead. -->"
_HEAD: Final = "| Key | Type | Default | Meaning |\n|---|---|---|---|"
_NOTATION: Final = """\
- **duration**: a number with its unit, `us`, `ms`, `s`, `m` or `min`, `h`, `d`: `250ms`, `1.5h`, `7d`.
- **size**: a number with its unit, `B`, `kB`, `MB`, `GB`, `TB` (of 1000), `KiB`, `MiB`, `GiB`, `TiB` (of 1024).
- **path**: a file or folder; relative paths count from the configuration folder.
- **number**: in the tag's engineering unit where the key is about a value.
- A key that is not in these tables is an error; `gateway check` names its file and line."""


def pages() -> dict[str, str]:
    """Return each page's text by its file name."""
    from gateway.settings import schema

    whole = schema()
    definitions: Schema = whole["$defs"]
    devices = dict(_device_files(definitions))
    links = "\n".join(f"- [Devices and tags: {name}](devices-{name}.md)" for name in devices)
    made = {"configuration.md": _root_page(whole, definitions, links), **commands_pages(_NOTE)}
    for name, device in devices.items():
        made[f"devices-{name}.md"] = _device_page(name, device, definitions)
    return made


def _device_files(definitions: Schema) -> Iterator[tuple[str, Schema]]:
    """Yield (protocol, schema of its device file), in the order of the plug-ins."""
    for one in definitions["DeviceFile"]["anyOf"]:
        device = _followed(one, definitions)
        protocol = device["properties"].get("protocol")
        if protocol is not None:
            yield protocol["const"], device


def _root_page(root: Schema, definitions: Schema, links: str) -> str:
    root = root | {"properties": root["properties"] | {"sinks": _sinks(root["properties"], definitions)}}
    parts = [
        "# Reference: gateway.yaml",
        _NOTE,
        f"Every key of `gateway.yaml`. Keys of devices and tags have pages of their own:\n\n{links}\n\n"
        "`gateway schema > gateway.schema.json` gives the same to an editor. Any key here can be overridden by an\n"
        "environment variable: `GATEWAY__MQTT__URL` for `mqtt.url`.",
        f"## Notation\n\n{_NOTATION}",
        *_sections("gateway.yaml", "", root, definitions),
        "## Files with templates and lists",
        *(_table(definitions[name], definitions) for name in ("DeviceFromTemplate", "DeviceList")),
    ]
    return "\n\n".join(parts) + "\n"


def _sinks(fields: Schema, definitions: Schema) -> Schema:
    """Return `sinks` with the keys that its entries have beside those of their kind, which stand in the kind's section."""
    items = fields["sinks"]["items"]
    entries = [_followed(one, definitions) for one in items.get("oneOf", items.get("anyOf", [items]))]
    kinds = [one["properties"]["kind"]["const"] for one in entries]
    known = {key for kind in kinds for model in _models_of(fields[kind], definitions)[0] for key in model["properties"]}
    entry = {key: field for key, field in entries[0]["properties"].items() if key not in known}
    entry["kind"] = {"description": entry["kind"]["description"], "enum": kinds}
    about = "How messages look there: layout, format and keys of layouts. What is left out is as in `publish:`."
    entry["publish"] = {"description": about, "type": "object"}
    about = "Beside these keys, all of the section of its kind: " + ", ".join(f"`{kind}:`" for kind in kinds) + "."
    model = {"properties": entry, "required": ["name", "kind"], "description": about}
    listed: Schema = fields["sinks"] | {"items": model}
    return listed


def _device_page(protocol: str, device: Schema, definitions: Schema) -> str:
    parts = [
        f"# Reference: devices and tags, protocol {protocol}",
        _NOTE,
        "Keys of one file in `devices/`, and of its tags. For durations, sizes and paths see [the notation]"
        "(configuration.md#notation).\nAny plain key of `devices/press.yaml` can be overridden by an environment variable: "
        "`GATEWAY__DEVICES__PRESS__URL` for `url`.",
        *_sections("Device", "", device, definitions),
    ]
    return "\n\n".join(parts) + "\n"


def _sections(title: str, prefix: str, model: Schema, definitions: Schema) -> list[str]:
    """Return a section of a model and one of each model that one of its keys holds."""
    about = _line(model.get("description", ""))
    made = [f"## {title}" + (f"\n\n{about}" if about else "") + f"\n\n{_table(model, definitions)}"]
    for key, field in model.get("properties", {}).items():
        models, is_list = _models_of(field, definitions)
        for number, inner in enumerate(models):
            below = f"{prefix}{key}"
            which = "" if not is_list else ", each entry" if not number else ", or instead"
            made += _sections(f"`{below}:`{which}", f"{below}.", inner, definitions)
    return made


def _table(model: Schema, definitions: Schema) -> str:
    """Return a model's keys as a table, those that must be given first."""
    needed = model.get("required", ())
    rows = []
    for key, field in sorted(model.get("properties", {}).items(), key=lambda item: item[0] not in needed):
        models, is_list = _models_of(field, definitions)
        kind = ("list of sections" if is_list else "section") if models else type_text(field, definitions)
        usual = "required" if key in needed else default_text(field, bool(models))
        about = field.get("description") or (models[0].get("description", "") if models else "")
        rows.append(f"| `{key}` | {kind} | {usual} | {_cell(_line(about))} |")
    return "\n".join([_HEAD, *rows])


def _models_of(field: Schema, definitions: Schema) -> tuple[Sequence[Schema], bool]:
    """Return the models that a key may hold, and whether it holds a list of them."""
    choices = [_followed(one, definitions) for one in field.get("anyOf", [field])]
    for one in choices:
        if "properties" in one:
            return [one], any(other.get("type") == "array" for other in choices)
        if one.get("type") == "array":
            items = one.get("items", {})
            entries = [_followed(entry, definitions) for entry in items.get("anyOf", [items])]
            if any("properties" in entry for entry in entries):
                return [entry for entry in entries if "properties" in entry], True
    return [], False


def _followed(field: Schema, definitions: Schema) -> Schema:
    name = field.get("$ref", "").rpartition("/")[2]
    return definitions[name] | {k: v for k, v in field.items() if k == "description"} if name else field


def _line(text: str) -> str:
    return " ".join(text.split())


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def main() -> None:
    """Write the pages; pages of protocols that are gone go."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    made = pages()
    for old in FOLDER.glob("*.md"):
        if old.name not in made:
            old.unlink()
    for name, text in made.items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
