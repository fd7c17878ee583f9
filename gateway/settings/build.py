"""Build `Settings` from checked files: the tag table, each tag's policy, the configuration's hash."""

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.core.ports.plugin import DeviceEntry, TagTraits
from gateway.core.tags import Tag, TagTable
from gateway.settings.config_hash import config_hash
from gateway.settings.device_files import Device
from gateway.settings.formulas import interval_of_formulas, resolve_formulas
from gateway.settings.model import RefusedDevice, Root, Settings
from gateway.settings.problem_collector import ProblemCollector
from gateway.stages.config import PolicyDefaults, TagPolicy

_POLICY = tuple(TagPolicy.model_fields)
_MOST_NAMED = 3


def build_settings(
    collector: ProblemCollector, root: Root, devices: Sequence[Device], refused: Sequence[RefusedDevice] = ()
) -> Settings:
    """Return the settings of devices without problems. refused: those that are left out."""
    entries, policies, formulas, without_range = [], [], [], []
    tags: list[Tag] = []
    held_ns = root.window.length + root.window.grace + root.outbox.commit_interval
    interned: dict[TagPolicy, TagPolicy] = {}  # most tags have equal policies, and each takes a kilobyte
    for number, device in enumerate(devices):
        models = [tag.model for tag in device.tags]
        entries.append(DeviceEntry(number, device.config, tuple(models), len(tags), held_ns))
        layers = _merge_defaults(device.defaults, root.defaults)
        formulas += resolve_formulas(device, len(tags), len(tags) + len(models))
        traits = [device.plugin.traits(device.config, model) for model in models]
        traits += [TagTraits(interval_ns=interval_ns) for interval_ns in interval_of_formulas(device)]
        for (model, _, _), known in zip(device.all_tags, traits, strict=True):
            shape = known.is_float32, known.interval_ns, known.is_logical
            said = model.range, model.publish, model.description
            tags.append(Tag(len(tags), number, model.name, model.unit, *shape, *said, known.is_text))
            policy = _policy(model, layers)
            policies.append(interned.setdefault(policy, policy))
            if len(policy.deadband) > 2 and model.range is None:
                without_range.append(f"{device.config.name}/{model.name}")
    if without_range:
        some = ", ".join(without_range[:_MOST_NAMED]) + (" and others" if len(without_range) > _MOST_NAMED else "")
        collector.warnings.append(f"deadband is a percentage of the range, and {some} have no range: every change is sent")
    return Settings(
        collector.folder,
        root,
        tuple(device.plugin for device in devices),
        tuple(entries),
        tuple(policies),
        tuple(device.publish for device in devices),
        TagTable(tuple(device.config.name for device in devices), tuple(tags)),
        tuple(formulas),
        config_hash(collector),
        tuple(collector.warnings),
        tuple(refused),
        files=tuple(collector.files_read),
        secrets=tuple(collector.secrets.used),
    )


def _merge_defaults(*defaults: PolicyDefaults) -> dict[str, Any]:
    """Return the keys that the defaults set, by name; earlier arguments win."""
    return {name: value for one in reversed(defaults) for name, value in one if value is not None}


def _policy(tag: Any, layers: Mapping[str, Any]) -> TagPolicy:
    """Return the tag's policy; keys that it does not set come from the device, then the gateway, then the model."""
    given = tag.model_fields_set
    values = {name: getattr(tag, name) for name in _POLICY}
    return TagPolicy.model_construct(**values | {name: value for name, value in layers.items() if name not in given})
