"""What can be wrong with the topics of tags: does every topic exist, and only once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from gateway.core.ports.layout_plugin import DeviceScope, LayoutFault, LayoutScope
from gateway.encoding.formats import FORMATS
from gateway.layouts.device.topics import topics_of
from gateway.layouts.tag.topic_template import OWN_FIELDS, free_fields, unknown_fields
from gateway.layouts.tag.topics import TagTopics

_NAME: Final = "tag"
_TOPIC: Final = ("publish", "topic")
_KEYS: Final = ("topic", "topic_fields", "retain", "quality_topic")
_NAMED: Final = 3


@dataclass(slots=True)
class _Taken:
    """Every topic that something is published on, and who that is."""

    by: dict[str, str] = field(default_factory=dict)

    def other(self, topic: str, who: str) -> str:
        """Return who else has this topic; empty when nobody had it yet."""
        first = self.by.setdefault(topic, who)
        return "" if first == who else first


def check(scope: LayoutScope) -> Iterator[LayoutFault]:
    """Yield fields without a value, two things on one topic, and keys that have no effect."""
    configs = [device.own.over(scope.config) for device in scope.devices]
    yield from _topic_faults(scope, configs)
    yield from _unused_faults(scope, configs)
    yield from _format_faults(scope, configs)


def _format_faults(scope: LayoutScope, configs: Sequence[Any]) -> Iterator[LayoutFault]:
    """Yield formats that are for another layout."""
    own = [(number, device.own, config) for number, (device, config) in enumerate(zip(scope.devices, configs, strict=True))]
    for number, source, config in [(None, scope.config, scope.config), *own]:
        form = FORMATS[config.format]
        where = ("publish", "format")
        if number is not None and source.format is None and source.layout is None:
            continue  # as in gateway.yaml, which has been looked at
        if form.columns and config.layout == _NAME:
            yield LayoutFault(
                where, "columns have no place on the topic of one tag", "json, json+zstd, cbor or plain", number
            )
        elif form.plain and config.layout != _NAME:
            yield LayoutFault(where, "plain needs a topic for each tag", "publish.layout: tag, or another format", number)


def _topic_faults(scope: LayoutScope, configs: Sequence[Any]) -> Iterator[LayoutFault]:
    taken = _contract_topics(scope)
    topics = topics_of(scope)
    incomplete: dict[str, list[str]] = {}
    for number, (device, config) in enumerate(zip(scope.devices, configs, strict=True)):
        if config.layout != _NAME or not scope.is_per_device:
            continue
        missing = unknown_fields(config.topic, config.topic_fields)
        if not missing:
            yield from _shared(number, device, TagTopics.of(config, topics, number), taken)
        elif device.own.topic is not None:
            yield LayoutFault(_TOPIC, *_without_value(missing, device.name), device=number)
        for name in missing if device.own.topic is None else ():
            incomplete.setdefault(name, []).append(device.name)
    for name, names in incomplete.items():
        yield LayoutFault(_TOPIC, *_without_value([name], *names))


def _contract_topics(scope: LayoutScope) -> _Taken:
    topics = topics_of(scope)
    taken = _Taken({topics.status: "the gateway's status", topics.event(None): "the gateway's events"})
    taken.by[topics.stats(None)] = "the gateway's stats"
    for number, device in enumerate(scope.devices):
        for topic in (topics.window, topics.summary, topics.value, topics.event, topics.stats):
            taken.by.setdefault(topic(number), f"device {device.name}")
    return taken


def _unused_faults(scope: LayoutScope, configs: Sequence[Any]) -> Iterator[LayoutFault]:
    in_use: list[str] = []
    for number, config in enumerate(configs if scope.is_per_device else ()):
        templates = [config.topic] if config.layout == _NAME else []
        yield from _unused(scope.devices[number].own, number, templates)
        in_use += templates
    if scope.devices:
        yield from _unused(scope.config, None, in_use)


def _unused(config: Any, device: int | None, templates: Sequence[str]) -> Iterator[LayoutFault]:
    """templates: topics in use, none where the layout is another."""
    if not templates:
        for key in _KEYS:
            if key in config.model_fields_set:
                yield LayoutFault(
                    ("publish", key), "has no effect with another layout", "publish.layout: tag", device=device
                )
        return
    if config.quality_topic and config.format not in (None, "plain"):
        yield LayoutFault(
            ("publish", "quality_topic"), "has no effect with this format", "publish.format: plain", device=device
        )
    fields = {name for template in templates for name in free_fields(template)}
    some = ", ".join(list(dict.fromkeys(templates))[:_NAMED])
    for name in config.topic_fields:
        if name not in fields:
            message = f"has no effect: {{{name}}} does not stand in {some}"
            expected = "that field in publish.topic, or no such line"
            yield LayoutFault(("publish", "topic_fields", name), message, expected, device=device)


def _without_value(missing: Sequence[str], *devices: str) -> tuple[str, str]:
    fields = ", ".join(f"{{{name}}}" for name in missing)
    wanted = "; ".join(f"{name}: ... below topic_fields" for name in missing)
    some = ", ".join(devices[:_NAMED]) + (", ..." if len(devices) > _NAMED else "")
    return f"{fields} has no value for {some}", f"{wanted}, or one of {', '.join(OWN_FIELDS)}"


def _shared(number: int, device: DeviceScope, topics: TagTopics, taken: _Taken) -> Iterator[LayoutFault]:
    for row, name in enumerate(device.tags):
        who = f"tag {device.name}/{name} ({device.place(row)})"
        for topic in (topics.topic(name), topics.summary(name), topics.event(name)):
            other = taken.other(topic, who)
            if other:
                message = f"its topic {topic!r} is already that of {other}"
                expected = "another name, or a topic template that tells them apart"
                yield LayoutFault(("name",), message, expected, device=number, tag=row)
                break
