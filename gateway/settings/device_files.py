"""`devices/*.yaml`: one device in each, or a list of them."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel

from gateway.core.ports.plugin import Plugin
from gateway.plugins import SOURCES
from gateway.settings import ceilings
from gateway.settings.detectors import check_detectors
from gateway.settings.environment import device_prefix
from gateway.settings.error_text import quote_value
from gateway.settings.problem_collector import ProblemCollector
from gateway.settings.publish_model import DevicePublish
from gateway.settings.source_files import KeyPath, SourceFile
from gateway.settings.templates import expand
from gateway.stages.config import PolicyDefaults

OWN_KEYS = ("tags", "tag_file", "defaults", "publish")
"""Keys of a device file that are not its protocol's."""


class ReadTag(NamedTuple):
    """A tag as it was read."""

    model: Any
    """Its model, without faults of its own."""
    file: SourceFile
    """The file that configures it."""
    path: KeyPath
    """Where in the file."""


@dataclass(slots=True)
class Device:
    """A device while its files are read, before it becomes a `DeviceEntry`."""

    plugin: Plugin
    """Its protocol."""
    config: Any
    """The protocol's model of the device, None where the protocol's own keys are wrong."""
    file: SourceFile
    """The file that configures it, or its part of a file with several devices."""
    value: dict[str, Any]
    """The content of the file, with template and variables applied."""
    defaults: PolicyDefaults
    """Its section `defaults`."""
    publish: DevicePublish
    """Its section `publish`."""
    tags: list[ReadTag] = field(default_factory=list)
    """The tags that are read from the device."""
    formulas: list[ReadTag] = field(default_factory=list)
    """The tags that are computed from others; in the tag table they follow those that are read."""
    finds_tags: bool = False
    """Further tags are searched on the device."""
    names: dict[str, tuple[SourceFile, KeyPath]] = field(default_factory=dict)
    """File and key path of the first use of each tag name."""

    @property
    def all_tags(self) -> list[ReadTag]:
        """Return its tags in the order of the tag table."""
        return [*self.tags, *self.formulas]

    @property
    def published_tags(self) -> list[ReadTag]:
        """Return the tags that layouts have a place for, in the same order."""
        return [tag for tag in self.all_tags if tag.model.publish]


def read_devices(collector: ProblemCollector) -> list[tuple[SourceFile, str]]:
    """Read `devices/*.yaml`. Returns every device as it is written, with its name."""
    files = collector.files(collector.folder / "devices")
    return [one for path in files if path.suffix in (".yaml", ".yml") for one in _devices_in(collector, path)]


def _devices_in(collector: ProblemCollector, path: Path) -> list[tuple[SourceFile, str]]:
    """Return the devices of a file, each with its name.

    That is one device, named like the file, or those of its list `devices`, which share the other keys of the file.
    """
    whole = collector.yaml(path)
    if not isinstance(whole.value, dict) or "devices" not in whole.value:
        return [(whole, path.stem)]
    common = {key: item for key, item in whole.value.items() if key != "devices"}
    listed = whole.value["devices"]
    if not isinstance(listed, list) or not listed:
        whole.add(("devices",), "is not a list", "one entry for each device: - {name: ..., ...}")
        listed = []
    if len(listed) > ceilings.DEVICES:
        whole.add(("devices",), f"has {len(listed)} devices", f"at most {ceilings.DEVICES} in all files")
        listed = []
    parts = whole.parts(("devices",))
    devices = []
    for place, item in enumerate(listed):
        if not isinstance(item, dict):
            whole.add(("devices", place), f"{quote_value(item)} is not a device", "keys such as name: and url:")
        elif not isinstance(item.get("name"), str):
            whole.add(("devices", place, "name"), "is missing", "a name for each device of a list")
        else:
            file = parts[place]
            file.value = _merge(common, item)
            file.origins = {key: whole for key in common if key not in item}
            devices.append((file, item["name"]))
    if whole.problems:
        collector.of_lists[whole.name] = list(whole.problems)
    return devices


def _merge(common: dict[str, Any], item: dict[str, Any]) -> dict[str, Any]:
    """Return the keys of a device of a list and the common keys, with the parameters of both."""
    both = [part["parameters"] for part in (common, item) if isinstance(part.get("parameters"), dict)]
    return common | item | ({"parameters": both[0] | both[1]} if len(both) == 2 else {})


def parse_device(collector: ProblemCollector, file: SourceFile, name: str) -> Device | None:
    """Return the device without its tags: template filled in, variables applied, keys checked.

    Faults are added to the file. Returns None where no protocol is known, and a device whose `config` is None where the
    protocol's own keys are wrong.
    """
    if file.problems or not isinstance(file.value, dict):
        if not file.problems:
            file.add((), "is not a mapping", "keys such as protocol:, url:, tags:")
        if not isinstance(file.value, dict):
            return None
    value, template = expand(collector.folder, collector.template, file, file.value)
    if template is not None:
        collector.problems += template.problems
        if template.problems:
            return None
    prefix = device_prefix(name)
    file.variable = lambda path: collector.environment.variable(file, path, prefix)
    in_file = value
    collector.check_literals(file, value)
    value = collector.environment.override(file, name, value)
    protocol = value.get("protocol")
    plugin = SOURCES.get(protocol) if isinstance(protocol, str) else None
    if plugin is None:
        message = "is missing" if protocol is None else f"{quote_value(protocol)} is not known"
        file.add(("protocol",), message, " or ".join(SOURCES))
        return None
    own, own_in_file = ({"name": name} | {k: v for k, v in x.items() if k not in OWN_KEYS} for x in (value, in_file))
    config = collector.validate(file, plugin.device_model, own, (), OWN_KEYS, prefix, own_in_file)

    def section(model: type[BaseModel], key: str) -> Any:
        given, given_in_file = ({} if x.get(key) is None else x[key] for x in (value, in_file))
        return collector.validate(file, model, given, (key,), (), prefix, given_in_file)

    policy, publishing = section(PolicyDefaults, "defaults"), section(DevicePublish, "publish")
    if policy is not None:
        check_detectors(collector, file, policy, ("defaults",))
    return Device(plugin, config, file, value, policy or PolicyDefaults(), publishing or DevicePublish())
