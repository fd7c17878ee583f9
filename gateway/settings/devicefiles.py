"""`devices/*.yaml`: one device in each, or a list of them."""

from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from gateway.core.ports.plugin import Plugin
from gateway.plugins import SOURCES
from gateway.settings.detectors import check_detectors
from gateway.settings.environment import device_prefix
from gateway.settings.error_text import show
from gateway.settings.problem_collector import Findings
from gateway.settings.publish_model import DevicePublish
from gateway.settings.source_files import Document, KeyPath
from gateway.settings.templates import expand
from gateway.stages.config import PolicyDefaults

OWN_KEYS = ("tags", "tag_file", "defaults", "publish")
"""Keys of a device file that are not its protocol's."""


@dataclass(slots=True)
class Device:
    """One device on its way to a `DeviceEntry`. value: what its file says. tags: each with where it stands; names: where
    each was first used."""

    plugin: Plugin
    config: Any
    document: Document
    value: dict[str, Any]
    defaults: PolicyDefaults
    publish: DevicePublish
    tags: list[Any] = field(default_factory=list)
    names: dict[str, tuple[Document, KeyPath]] = field(default_factory=dict)


def documents(found: Findings) -> list[tuple[Document, str]]:
    """Every device of the configuration, as it is written, with its name."""
    files = found.files(found.folder / "devices")
    return [one for path in files if path.suffix in (".yaml", ".yml") for one in _documents_of(found, path)]


def _documents_of(found: Findings, path: Path) -> list[tuple[Document, str]]:
    """The devices of a file with the name of each: one, named like the file, or those of its list `devices`, to which
    the other keys of the file belong in common."""
    whole = found.yaml(path)
    if not isinstance(whole.value, dict) or "devices" not in whole.value:
        return [(whole, path.stem)]
    common = {key: item for key, item in whole.value.items() if key != "devices"}
    listed = whole.value["devices"]
    if not isinstance(listed, list) or not listed:
        whole.add(("devices",), "is not a list", "one entry for each device: - {name: ..., ...}")
        listed = []
    devices = []
    for place, item in enumerate(listed):
        if not isinstance(item, dict):
            whole.add(("devices", place), f"{show(item)} is not a device", "keys such as name: and url:")
        elif not isinstance(item.get("name"), str):
            whole.add(("devices", place, "name"), "is missing", "a name for each device of a list")
        else:
            document = whole.part(("devices", place), _merged(common, item))
            document.origins = {key: whole for key in common if key not in item}
            devices.append((document, item["name"]))
    found.problems += whole.problems
    return devices


def _merged(common: dict[str, Any], item: dict[str, Any]) -> dict[str, Any]:
    """Keys of a device of a list, with those in common; parameters of both."""
    both = [part["parameters"] for part in (common, item) if isinstance(part.get("parameters"), dict)]
    return deepcopy(common) | item | ({"parameters": both[0] | both[1]} if len(both) == 2 else {})


def parsed(found: Findings, document: Document, name: str) -> Device | None:
    """The device without its tags: template filled in, variables applied, keys checked. None when nothing can be said of
    it; `config` is None where only the protocol's own keys are wrong."""
    if document.problems or not isinstance(document.value, dict):
        if not document.problems:
            document.add((), "is not a mapping", "keys such as protocol:, url:, tags:")
        if not isinstance(document.value, dict):
            return None
    value, template = expand(found.folder, document, document.value)
    if template is not None:
        found.read.append(Path(template.file))
        found.problems += template.problems
        if template.problems:
            return None
    prefix = device_prefix(name)
    document.variable = lambda path: found.environment.variable(document, path, prefix)
    in_file = deepcopy(value) if found.environment.below((), prefix) else value
    found.environment.override(document, name, value)
    protocol = value.get("protocol")
    plugin = SOURCES.get(protocol) if isinstance(protocol, str) else None
    if plugin is None:
        message = "is missing" if protocol is None else f"{show(protocol)} is not known"
        document.add(("protocol",), message, " or ".join(SOURCES))
        return None
    own, own_in_file = ({"name": name} | {k: v for k, v in x.items() if k not in OWN_KEYS} for x in (value, in_file))
    config = found.validated(document, plugin.device_model, own, (), OWN_KEYS, prefix, own_in_file)

    def section(model: type[BaseModel], key: str) -> Any:
        said, in_file_said = ({} if x.get(key) is None else x[key] for x in (value, in_file))
        return found.validated(document, model, said, (key,), (), prefix, in_file_said)

    policy, publishing = section(PolicyDefaults, "defaults"), section(DevicePublish, "publish")
    if policy is not None:
        check_detectors(found, document, policy, ("defaults",))
    return Device(plugin, config, document, value, policy or PolicyDefaults(), publishing or DevicePublish())
