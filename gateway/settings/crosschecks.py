"""What can be said only with all files at hand: names, topics, what several devices share, files that nobody uses."""

import os
from collections.abc import Iterator, Sequence

from gateway.core.errors import Problem
from gateway.core.ports.plugin import CrossChecked
from gateway.encoding.topics import Topics
from gateway.plugins import SOURCES
from gateway.settings.devicefiles import Device
from gateway.settings.model import Root
from gateway.settings.problem_collector import Findings
from gateway.settings.publishing import Publishing, sparkplug_problems, topic_problems, unused_problems
from gateway.settings.source_files import Document


def names(devices: Sequence[Device]) -> Iterator[Problem]:
    """Devices of one name, and what a protocol finds wrong with tags or devices together."""
    seen: dict[str, Document] = {}
    for device in devices:
        first = seen.setdefault(device.config.name, device.document)
        if first is not device.document:
            message = f"{device.config.name!r} is already the name in {first.file}"
            yield device.document.problem(("name",), message, "another name")
        if isinstance(device.plugin, CrossChecked):
            for row, key, message, expected in device.plugin.check_tags(device.config, [tag for tag, _, _ in device.tags]):
                _, document, path = device.tags[row]
                yield document.problem((*path, key), message, expected)
    for plugin in SOURCES.values():
        if isinstance(plugin, CrossChecked):
            same = [device for device in devices if device.plugin is plugin]
            for row, key, message, expected in plugin.check_devices([device.config for device in same]):
                yield same[row].document.problem((key,), message, expected)


def topics(root: Root, document: Document, devices: Sequence[Device]) -> Iterator[Problem]:
    """Does every topic exist, and only once? document: gateway.yaml."""
    publishing = [
        Publishing(d.config.name, d.publish, d.document, [(tag.name, document, path) for tag, document, path in d.tags])
        for d in devices
    ]
    of_all = Topics.of(root.mqtt.root, root.name, [d.name for d in publishing])
    yield from topic_problems(root.publish, document, of_all, publishing)
    yield from unused_problems(root.publish, document, publishing)
    yield from sparkplug_problems(root.publish, root.mqtt, document, publishing)


def unused_tag_files(found: Findings) -> Iterator[str]:
    """Tag files that no device names."""
    used = {os.path.realpath(path) for path in found.read}
    for path in found.files(found.folder / "tags"):
        if path.suffix == ".csv" and os.path.realpath(path) not in used:
            yield f"{path!s}: no device uses this file"
