"""Checks that need all files at once: names, topics, what several devices share, files that nobody uses."""

import os
from collections.abc import Iterator, Sequence

from gateway.core.errors import Problem
from gateway.core.ports.layout_plugin import DeviceScope, LayoutFault
from gateway.core.ports.plugin import CrossChecked, WithTagWarnings
from gateway.core.ports.sink_plugin import TopicRooted
from gateway.encoding.topics import level_of_sink
from gateway.plugins import LAYOUTS, SOURCES
from gateway.settings.configured_sinks import ConfiguredSink
from gateway.settings.device_files import Device
from gateway.settings.model import Root
from gateway.settings.problem_collector import ProblemCollector
from gateway.settings.source_files import SourceFile

Blamed = tuple[Device | None, Problem]
"""A fault, and the device whose it is: the later one where it is between two; None for `gateway.yaml`."""


def check_names(devices: Sequence[Device]) -> Iterator[Blamed]:
    """Yield devices of one name, and the faults that a protocol finds between tags or devices."""
    seen: dict[str, SourceFile] = {}
    for device in devices:
        first = seen.setdefault(device.config.name, device.file)
        if first is not device.file:
            message = f"{device.config.name!r} is already the name in {first.name}"
            yield device, device.file.problem(("name",), message, "another name")
        if isinstance(device.plugin, CrossChecked):
            for row, key, message, expected in device.plugin.check_tags(device.config, [tag for tag, _, _ in device.tags]):
                _, file, path = device.tags[row]
                yield device, file.problem((*path, key), message, expected)
    for plugin in SOURCES.values():
        if isinstance(plugin, CrossChecked):
            own = [device for device in devices if device.plugin is plugin]
            for row, key, message, expected in plugin.check_devices([device.config for device in own]):
                yield own[row], own[row].file.problem((key,), message, expected)


def check_sinks(root: Root, file: SourceFile, devices: Sequence[Device]) -> Iterator[Blamed]:
    """Yield topics of sinks that cannot be told apart from others, and different roots. file: gateway.yaml."""
    levels = {level_of_sink(entry.name): entry.name for entry in root.sinks}
    for device in devices:
        if (sink := levels.get(device.config.name)) is not None:
            message = f"{device.config.name!r} is the topic level of the loss records of sink {sink}"
            yield device, device.file.problem(("name",), message, "another name")
    for sink in root.all_sinks:
        if isinstance(sink.plugin, TopicRooted):
            own = sink.plugin.topic_root(sink.config)
            if own not in (root.topic_root, sink.plugin.topic_root(sink.plugin.config_model())):
                message = f"{own!r} is not the root of the first sink: messages have one topic for all sinks"
                yield None, file.problem((*sink.place, "root"), message, root.topic_root)


def check_layouts(root: Root, file: SourceFile, devices: Sequence[Device]) -> Iterator[Blamed]:
    """Yield what layouts find wrong: topics that do not exist or are used twice, keys that have no effect.

    file: gateway.yaml.
    """
    yield from check_sinks(root, file, devices)
    seen: set[Problem] = set()
    scopes = [_scope_of(device) for device in devices]
    for sink in root.all_sinks:
        for plugin in LAYOUTS.values():
            for fault in plugin.check(root.layout_scope(scopes, sink)):
                problem = _problem(fault, sink, file, devices)
                if problem not in seen:
                    seen.add(problem)
                    yield None if fault.device is None else devices[fault.device], problem


def _scope_of(device: Device) -> DeviceScope:
    tags = device.published_tags  # once: layouts ask for the place of every tag

    def place(row: int) -> str:
        return f"{tags[row].file.name}:{tags[row].file.line(tags[row].path)}"

    return DeviceScope(device.config.name, [tag.model.name for tag in tags], device.publish, place)


def _problem(fault: LayoutFault, sink: ConfiguredSink, root: SourceFile, devices: Sequence[Device]) -> Problem:
    if fault.device is None:
        return root.problem(sink.key(fault.key), fault.message, fault.expected)
    device = devices[fault.device]
    if fault.tag is None:
        return device.file.problem(fault.key, fault.message, fault.expected)
    _, file, path = device.published_tags[fault.tag]
    problem: Problem = file.problem((*path, *fault.key), fault.message, fault.expected)
    return problem


def unused_tag_files(collector: ProblemCollector) -> Iterator[str]:
    """Yield a warning for each tag file that no device names."""
    used = {os.path.realpath(path) for path in collector.files_read}
    for path in collector.files(collector.folder / "tags"):
        if path.suffix == ".csv" and os.path.realpath(path) not in used:
            yield f"{path!s}: no device uses this file"


def tag_warnings(devices: Sequence[Device]) -> Iterator[str]:
    """Yield a warning, with both places, for each two tags of which one is probably wrong."""
    for device in devices:
        if isinstance(device.plugin, WithTagWarnings):
            for row, other, message in device.plugin.tag_warnings(device.config, [tag for tag, _, _ in device.tags]):
                first = device.tags[other].file.problem(device.tags[other].path, "")
                yield str(device.tags[row].file.problem(device.tags[row].path, f"{message} ({first.file}:{first.line})"))
