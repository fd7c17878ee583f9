"""Reading a configuration folder: every problem of every file at once."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from stat import S_ISDIR, S_ISREG

from gateway.core.config_types import files_relative_to
from gateway.core.errors import ConfigError, Problem
from gateway.settings import crosschecks, devicefiles
from gateway.settings.build import assembled
from gateway.settings.devicefiles import Device
from gateway.settings.model import Settings
from gateway.settings.problem_collector import Findings
from gateway.settings.rootfile import read_root
from gateway.settings.tagfiles import Tags
from gateway.settings.warnings import Configured, advice


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
    with files_relative_to(folder), _collector_off():
        return _loaded(Findings(folder))


@contextmanager
def _collector_off() -> Iterator[None]:
    """Switch the collector of cycles off: what is read here stays, and the search takes a third of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _loaded(found: Findings) -> Settings:
    document, root = read_root(found)
    devices = _devices(found)
    found.problems += crosschecks.names(devices)
    if root is not None:
        found.problems += crosschecks.layouts(root, document, devices)
    found.problems += found.environment.unknown_settings()
    found.warnings += crosschecks.unused_tag_files(found)
    if not devices and not found.problems:
        found.problems.append(Problem(str(found.folder / "devices"), 0, "", "no enabled device", "a file *.yaml"))
    if found.problems or root is None:
        raise ConfigError(sorted(dict.fromkeys(found.problems), key=lambda p: (p.file, p.line)))
    configured = [Configured(d.document.file, d.plugin, d.config, [tag for tag, _, _ in d.tags]) for d in devices]
    found.warnings += advice(found.folder, root, configured, found.read)
    return assembled(found, root, devices)


def _devices(found: Findings) -> list[Device]:
    """Return the devices that are enabled, with their tags; problems of the others are found as well."""
    documents, tags = devicefiles.documents(found), Tags(found)
    devices = []
    for document, name in documents:
        device = devicefiles.parsed(found, document, name)
        if device is not None:
            tags.read(device)
        found.problems += document.problems
        if device is not None and device.config is not None and device.config.enabled:
            devices.append(device)
    found.problems += found.environment.unknown_devices([name for _, name in documents])
    return devices
