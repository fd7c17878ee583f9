"""Load a configuration folder: every problem of every file at once."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from stat import S_ISDIR, S_ISREG

from gateway.core.config_types import files_relative_to
from gateway.core.errors import ConfigError, Problem
from gateway.settings import ceilings, cross_checks, device_files
from gateway.settings.build import build_settings
from gateway.settings.device_files import Device
from gateway.settings.model import Settings
from gateway.settings.problem_collector import ProblemCollector
from gateway.settings.root_file import read_root
from gateway.settings.secrets import references_in
from gateway.settings.tag_files import TagReader
from gateway.settings.warnings import ConfiguredDevice, find_warnings


def load(folder: Path) -> Settings:
    """Read and check a configuration folder; variables GATEWAY__... of the process override.

    Raises ConfigError with every problem found.
    """
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
    with files_relative_to(folder), _gc_disabled():
        return _load_all(ProblemCollector(folder))


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


def _load_all(collector: ProblemCollector) -> Settings:
    file, root = read_root(collector)
    devices = _read_devices(collector)
    collector.problems += cross_checks.check_names(devices)
    if root is not None:
        collector.problems += cross_checks.check_layouts(root, file, devices)
    collector.problems += collector.environment.unknown_settings()
    collector.warnings += cross_checks.unused_tag_files(collector)
    if not devices and not collector.problems:
        collector.problems.append(Problem(str(collector.folder / "devices"), 0, "", "no enabled device", "a file *.yaml"))
    if collector.problems or root is None:
        problems = sorted(dict.fromkeys(collector.problems), key=lambda p: (p.file, p.line))
        raise ConfigError(problems[: ceilings.PROBLEMS])
    configured = [ConfiguredDevice(d.file.name, d.plugin, d.config, [tag for tag, _, _ in d.tags]) for d in devices]
    collector.warnings += find_warnings(collector.folder, root, configured, collector.files_read)
    in_root = (value for key, value in file.value.items() if file.variable((key,)) is None) if file.value else ()
    secrets = references_in([*in_root, *(device.value for device in devices)])
    return build_settings(collector, root, devices, list(secrets))


def _read_devices(collector: ProblemCollector) -> list[Device]:
    """Return the devices that are enabled, with their tags; problems of the others are found as well."""
    written, tags = device_files.read_devices(collector), TagReader(collector)
    if len(written) > ceilings.DEVICES:
        message = f"there are {len(written)} devices"
        collector.problems.append(Problem(str(collector.folder), 0, "", message, f"at most {ceilings.DEVICES}"))
    devices = []
    for file, name in written[: ceilings.DEVICES]:
        if collector.has_too_many_problems or tags.is_full:
            collector.problems.append(Problem(str(collector.folder), 0, "", "further devices are not looked at"))
            break
        device = device_files.parse_device(collector, file, name)
        if device is not None:
            tags.read(device)
        collector.problems += file.problems
        if device is not None and device.config is not None and device.config.enabled:
            devices.append(device)
    collector.problems += collector.environment.unknown_devices([name for _, name in written])
    return devices
