"""What can be said of `publish:` only with all files at hand: does every topic exist, and only once?"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.core.errors import Problem
from gateway.encoding.config import DeviceLayoutConfig, LayoutConfig, SparkplugConfig
from gateway.encoding.topic_template import OWN_FIELDS, free_fields, unknown_fields
from gateway.encoding.topics import Topics
from gateway.layouts.tag.layout import TagTopics
from gateway.settings.source_files import Document, KeyPath
from gateway.sinks.mqtt.config import MqttConfig

_TOPIC = ("publish", "topic")
_OF_TAGS = ("topic", "topic_fields", "retain")
_NAMED = 3


@dataclass(slots=True)
class Publishing:
    """One device as far as topics are concerned. tags: each name and where it stands."""

    name: str
    config: DeviceLayoutConfig
    document: Document
    tags: Sequence[tuple[str, Document, KeyPath]]


@dataclass(slots=True)
class _Taken:
    """Every topic that something is published on, and who that is."""

    by: dict[str, str] = field(default_factory=dict)

    def other(self, topic: str, who: str) -> str:
        """Who else has this topic; empty when nobody had it yet."""
        first = self.by.setdefault(topic, who)
        return "" if first == who else first


def topic_problems(
    general: LayoutConfig, document: Document, topics: Topics, devices: Sequence[Publishing]
) -> Iterator[Problem]:
    """Fields without a value, and two things on one topic. document: gateway.yaml; devices: in table order."""
    taken = _Taken({topics.status: "the gateway's status", topics.event(None): "the gateway's events"})
    taken.by[topics.stats(None)] = "the gateway's stats"
    for number, device in enumerate(devices):
        for topic in (topics.window, topics.summary, topics.value, topics.event, topics.stats):
            taken.by.setdefault(topic(number), f"device {device.name}")
    incomplete: dict[str, list[str]] = {}
    for number, device in enumerate(devices):
        config = device.config.over(general)
        if config.layout != "tag" or general.layout == "sparkplug":
            continue
        missing = unknown_fields(config.topic, config.topic_fields)
        if not missing:
            yield from _shared(device, TagTopics.of(config, topics, number), taken)
        elif device.config.topic is not None:
            yield device.document.problem(_TOPIC, *_without_value(missing, device.name))
        for name in missing if device.config.topic is None else ():
            incomplete.setdefault(name, []).append(device.name)
    for name, names in incomplete.items():
        yield document.problem(_TOPIC, *_without_value([name], *names))


def unused_problems(general: LayoutConfig, document: Document, devices: Sequence[Publishing]) -> Iterator[Problem]:
    """Keys of layout tag that no topic uses. document: gateway.yaml."""
    in_use: list[str] = []
    for device in devices if general.layout != "sparkplug" else ():
        config = device.config.over(general)
        templates = [config.topic] if config.layout == "tag" else []
        yield from _unused(device.config, device.document, templates)
        in_use += templates
    if devices:
        yield from _unused(general, document, in_use)


def _unused(config: LayoutConfig | DeviceLayoutConfig, document: Document, templates: Sequence[str]) -> Iterator[Problem]:
    """templates: topics in use, none where the layout is another."""
    if not templates:
        for key in _OF_TAGS:
            if key in config.model_fields_set:
                yield document.problem(("publish", key), "has no effect with another layout", "publish.layout: tag")
        return
    fields = {name for template in templates for name in free_fields(template)}
    some = ", ".join(list(dict.fromkeys(templates))[:_NAMED])
    for name in config.topic_fields:
        if name not in fields:
            message = f"has no effect: {{{name}}} does not stand in {some}"
            yield document.problem(
                ("publish", "topic_fields", name), message, "that field in publish.topic, or no such line"
            )


def sparkplug_problems(
    general: LayoutConfig, mqtt: MqttConfig, document: Document, devices: Sequence[Publishing]
) -> Iterator[Problem]:
    """What does not go together with layout sparkplug, and the other way round."""
    if general.layout != "sparkplug":
        if general.sparkplug != SparkplugConfig():
            yield document.problem(
                ("publish", "sparkplug"), "has no effect with another layout", "publish.layout: sparkplug"
            )
        return
    if general.format != "json":
        message = f"{general.format} has no effect: payloads of Sparkplug are protobuf"
        yield document.problem(("publish", "format"), message, "no format, or another layout")
    if general.sparkplug.group is None and "/" in mqtt.root:
        message = f"mqtt.root {mqtt.root!r} has several levels, and a Sparkplug group has one"
        yield document.problem(("publish", "layout"), message, "publish.sparkplug.group")
    if not mqtt.clean_start:
        message = "Sparkplug begins each connection with a clean session (3.0.0, 5.3)"
        yield document.problem(("mqtt", "clean_start"), message, "true, or another layout")
    if mqtt.expiry:
        message = "has no effect: messages of Sparkplug do not expire"
        yield document.problem(("mqtt", "expiry"), message, "no expiry, or another layout")
    for device in devices:
        if device.config != DeviceLayoutConfig():
            message = "has no effect: gateway.yaml says layout: sparkplug, which is for all devices together"
            yield device.document.problem(("publish",), message, "no publish: in device files, or another layout")


def _without_value(missing: Sequence[str], *devices: str) -> tuple[str, str]:
    fields = ", ".join(f"{{{name}}}" for name in missing)
    wanted = "; ".join(f"{name}: ... below topic_fields" for name in missing)
    some = ", ".join(devices[:_NAMED]) + (", ..." if len(devices) > _NAMED else "")
    return f"{fields} has no value for {some}", f"{wanted}, or one of {', '.join(OWN_FIELDS)}"


def _shared(device: Publishing, topics: TagTopics, taken: _Taken) -> Iterator[Problem]:
    for name, document, path in device.tags:
        who = f"tag {device.name}/{name} ({document.file}:{document.line(path)})"
        for topic in (topics.topic(name), topics.summary(name), topics.event(name)):
            other = taken.other(topic, who)
            if other:
                place: tuple[Any, ...] = (*path, "name")
                expected = "another name, or a topic template that tells them apart"
                yield document.problem(place, f"its topic {topic!r} is already that of {other}", expected)
                break
