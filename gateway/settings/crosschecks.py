"""What can be said only with all files at hand: names, topics, what several devices share, files that nobody uses."""

import os
from collections.abc import Iterator, Sequence

from gateway.core.errors import Problem
from gateway.core.ports.layout_plugin import DeviceScope, LayoutFault
from gateway.core.ports.plugin import CrossChecked
from gateway.plugins import LAYOUTS, SOURCES
from gateway.settings.devicefiles import Device
from gateway.settings.layout_scope import scope_of
from gateway.settings.model import Root
from gateway.settings.problem_collector import Findings
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


def layouts(root: Root, document: Document, devices: Sequence[Device]) -> Iterator[Problem]:
    """Yield what layouts find wrong: topics that do not exist or are used twice, keys that have no effect.

    document: gateway.yaml.
    """
    scope = scope_of(root, [_scope_of(device) for device in devices])
    for plugin in LAYOUTS.values():
        for fault in plugin.check(scope):
            yield _problem(fault, document, devices)


def _scope_of(device: Device) -> DeviceScope:
    def place(row: int) -> str:
        _, document, path = device.tags[row]
        return f"{document.file}:{document.line(path)}"

    return DeviceScope(device.config.name, [tag.name for tag, _, _ in device.tags], device.publish, place)


def _problem(fault: LayoutFault, root: Document, devices: Sequence[Device]) -> Problem:
    if fault.device is None:
        return root.problem(fault.key, fault.message, fault.expected)
    device = devices[fault.device]
    if fault.tag is None:
        return device.document.problem(fault.key, fault.message, fault.expected)
    _, document, path = device.tags[fault.tag]
    problem: Problem = document.problem((*path, *fault.key), fault.message, fault.expected)
    return problem


def unused_tag_files(found: Findings) -> Iterator[str]:
    """Tag files that no device names."""
    used = {os.path.realpath(path) for path in found.read}
    for path in found.files(found.folder / "tags"):
        if path.suffix == ".csv" and os.path.realpath(path) not in used:
            yield f"{path!s}: no device uses this file"
