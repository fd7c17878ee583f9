"""Load a configuration folder: every problem of every file at once."""

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISDIR, S_ISREG

from gateway.core.config_types import files_relative_to
from gateway.core.errors import ConfigError, Problem
from gateway.settings import ceilings, cross_checks, device_files
from gateway.settings.build import build_settings
from gateway.settings.device_files import Device
from gateway.settings.model import RefusedDevice, Root, Settings
from gateway.settings.problem_collector import ProblemCollector
from gateway.settings.root_file import read_root
from gateway.settings.secrets import references_in
from gateway.settings.source_files import SourceFile
from gateway.settings.tag_files import TagReader
from gateway.settings.warnings import ConfiguredDevice, find_warnings

_MOST_NAMED = 20
"""Problems of one device that is left out."""


def load(folder: Path, relative_to: Path | None = None) -> Settings:
    """Read and check a configuration folder; variables GATEWAY__... of the process override.

    relative_to: the folder that relative paths of files count from, if not this one. Raises ConfigError with every problem
    found.
    """
    with _reading(folder, relative_to):
        return _load_all(ProblemCollector(folder))


def load_tolerant(folder: Path, relative_to: Path | None = None, *, drop_missing: bool = False) -> Settings:
    """Read a configuration folder as `load`, but leave devices out whose files have problems (`Settings.refused`).

    A fault between two devices costs the later one. Raises ConfigError with every problem where `gateway.yaml` or a variable
    has one, and where no device is left. drop_missing: keys of `gateway.yaml` whose secret is missing have their defaults.
    """
    with _reading(folder, relative_to):
        collector = ProblemCollector(folder)
        collector.drops_missing = drop_missing
        return _load_good(collector)


@contextmanager
def _reading(folder: Path, relative_to: Path | None) -> Iterator[None]:
    """Prepare for reading a folder. Raises ConfigError where it is none."""
    try:
        kind = folder.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        kind = 0
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(
            [Problem(str(folder), 0, "", f"cannot be read: {reason}", "a folder that is open to you")]
        ) from None
    if S_ISREG(kind):
        raise ConfigError([Problem(str(folder), 0, "", "is a file", f"the folder it lies in: {folder.parent}")])
    if not S_ISDIR(kind):
        found = "is no folder" if kind else "no such folder"
        raise ConfigError([Problem(str(folder), 0, "", found, "a folder with gateway.yaml, devices/ and tags/")])
    with files_relative_to(relative_to or folder), _gc_disabled():
        yield


@contextmanager
def _gc_disabled() -> Iterator[None]:
    """Switch the search for reference cycles off: what is read here stays, and the search takes a third of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@dataclass(slots=True)
class _Read:
    """A device as it was read."""

    name: str
    file: SourceFile
    device: Device | None
    problems: list[Problem]

    @property
    def is_enabled(self) -> bool:
        return self.device is not None and self.device.config is not None and self.device.config.enabled

    @property
    def is_switched_off(self) -> bool:
        return self.device is not None and self.device.config is not None and not self.device.config.enabled


def _load_all(collector: ProblemCollector) -> Settings:
    file, root = read_root(collector)
    read = _read_devices(collector)
    collector.problems += [problem for one in read for problem in one.problems]
    collector.problems += [problem for problems in collector.of_lists.values() for problem in problems]
    devices = [one.device for one in read if one.device is not None and one.is_enabled]
    collector.problems += [problem for _, problem in cross_checks.check_names(devices)]
    if root is not None:
        collector.problems += [problem for _, problem in cross_checks.check_layouts(root, file, devices)]
    return _settings_of(collector, root, devices)


def _load_good(collector: ProblemCollector) -> Settings:
    file, root = read_root(collector)
    read = _read_devices(collector, _MOST_NAMED)
    general = [*collector.problems, *collector.environment.unknown_settings()]
    for one in read:
        one.problems += collector.of_lists.get(one.file.name, ())
    if root is None or general:
        collector.problems += [problem for one in read for problem in one.problems]
        return _settings_of(collector, root, [])
    good = [one for one in read if one.is_enabled and not one.problems]
    while wrong := _blamed(root, file, [one.device for one in good if one.device is not None]):
        for one in good:
            one.problems += wrong.pop(id(one.device), [])
        collector.problems += wrong.pop(id(None), [])
        good = [one for one in good if not one.problems]
        if collector.problems:
            break
    devices = [one.device for one in good if one.device is not None]
    refused = _refused(collector, [one for one in read if one.problems and not one.is_switched_off], devices)
    if not devices:
        collector.problems += [problem for one in read for problem in one.problems]
    return _settings_of(collector, root, devices, refused)


def _blamed(root: Root, file: SourceFile, devices: list[Device]) -> dict[int, list[Problem]]:
    """Return the faults between devices, by the identity of the device whose they are."""
    found: dict[int, list[Problem]] = {}
    for device, problem in (*cross_checks.check_names(devices), *cross_checks.check_layouts(root, file, devices)):
        found.setdefault(id(device), []).append(problem)
    return found


def _refused(collector: ProblemCollector, wrong: list[_Read], good: list[Device]) -> list[RefusedDevice]:
    taken = {device.config.name for device in good}
    found = []
    for one in wrong:
        name = one.device.config.name if one.device is not None and one.device.config is not None else one.name
        found.append(RefusedDevice(one.file.name if name in taken else name, tuple(one.problems[:_MOST_NAMED])))
        taken.add(name)
    known = {one.file.name for one in wrong}
    lists = {file: problems for file, problems in collector.of_lists.items() if file not in known}
    return found + [RefusedDevice(file, tuple(problems[:_MOST_NAMED])) for file, problems in lists.items()]


def _settings_of(
    collector: ProblemCollector, root: Root | None, devices: list[Device], refused: Sequence[RefusedDevice] = ()
) -> Settings:
    """Return the settings, or raise ConfigError with all problems."""
    collector.problems += collector.environment.unknown_settings()
    collector.warnings += cross_checks.unused_tag_files(collector)
    if not devices and not collector.problems:
        collector.problems.append(Problem(str(collector.folder / "devices"), 0, "", "no enabled device", "a file *.yaml"))
    if collector.problems or root is None:
        problems = sorted(dict.fromkeys(collector.problems), key=lambda p: (p.file, p.line))
        raise ConfigError(problems[: ceilings.PROBLEMS])
    configured = [ConfiguredDevice(d.file.name, d.plugin, d.config, [tag for tag, _, _ in d.tags]) for d in devices]
    collector.warnings += cross_checks.tag_warnings(devices)
    collector.warnings += find_warnings(collector.folder, root, configured, collector.files_read)
    collector.secrets.used += references_in([device.value for device in devices])
    return build_settings(collector, root, devices, refused)


def _read_devices(collector: ProblemCollector, most_each: int = ceilings.PROBLEMS) -> list[_Read]:
    """Return the devices with their tags, each with its problems; those of none of them go to the collector."""
    written, tags = device_files.read_devices(collector), TagReader(collector)
    if len(written) > ceilings.DEVICES:
        message = f"there are {len(written)} devices"
        collector.problems.append(Problem(str(collector.folder), 0, "", message, f"at most {ceilings.DEVICES}"))
    read: list[_Read] = []
    count = 0
    for file, name in written[: ceilings.DEVICES]:
        if count + len(collector.problems) >= ceilings.PROBLEMS or tags.is_full:
            collector.problems.append(Problem(str(collector.folder), 0, "", "further devices are not looked at"))
            break
        before = len(collector.problems)
        device = device_files.parse_device(collector, file, name)
        if device is not None:
            tags.read(device)
        own = [*collector.problems[before:], *file.problems]
        del collector.problems[before:]
        count += min(len(own), most_each)
        read.append(_Read(name, file, device, own[:most_each]))
    collector.problems += collector.environment.unknown_devices([name for _, name in written])
    return read
