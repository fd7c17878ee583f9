"""Tags that `browse` finds, units and ranges of configured ones: asked of the server, kept in files for the next start."""

import asyncio
import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import structlog

from gateway.core.os_errors import os_reason
from gateway.core.private_files import write_private
from gateway.core.turns import turn_after
from gateway.sources.opcua.config.device import OpcUaDevice, OpcUaTag
from gateway.sources.opcua.port.errors import NotFound
from gateway.sources.opcua.port.findings import Findings, FoundTag
from gateway.sources.opcua.port.metadata import Metadata
from gateway.sources.opcua.port.units import EngineeringUnit, lacking, units_path
from gateway.sources.opcua.source.found_roots import roots_path, settle_roots
from gateway.sources.opcua.source.tag_file import is_writable, tag_file, tag_names

log = structlog.get_logger("opcua")

_NAMED: Final = 5
"""Tags that an event about a change names."""


_MOST_LEFT_OUT: Final = 10_000
"""Characters of the file with what was left out."""


class NotKept(NotFound):
    """What was found cannot be written to the disk."""


@dataclass(frozen=True, slots=True)
class Change:
    """What differs between the tags that run and those that the server has now, by name."""

    added: Sequence[str]
    removed: Sequence[str]
    altered: Sequence[str]
    """Tags whose node, unit or range is another one."""
    cut: bool = False
    """There are more tags than the ceilings of `browse` allow."""

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.altered)

    @property
    def some_names(self) -> list[str]:
        """Return the first names, new ones before those that are gone or altered."""
        return [*self.added, *self.removed, *self.altered][:_NAMED]


def found_path(device: OpcUaDevice) -> Path | None:
    """Return where the found tags of a device are kept; None for one without `browse`."""
    return Path(device.found) / f"{device.name}.csv" if device.browse else None


def left_out_path(device: OpcUaDevice) -> Path:
    """Return where it is kept what of the server became no tag."""
    return Path(device.found) / "left_out" / f"{device.name}.txt"


def left_out(device: OpcUaDevice) -> Sequence[str]:
    """Return what of the server became no tag when it was last asked, a line for each reason; none where nothing is kept."""
    if not device.browse:
        return ()
    try:
        with left_out_path(device).open(encoding="utf-8", errors="replace") as file:
            return file.read(_MOST_LEFT_OUT).splitlines()
    except OSError:
        return ()


def is_refreshed(device: OpcUaDevice, tags: Sequence[OpcUaTag]) -> bool:
    """Return whether a start asks the server: always for `browse`, for units alone until they are known."""
    return bool(device.browse) or (bool(lacking(tags)) and not units_path(device).is_file())


def found_file(tags: Sequence[FoundTag]) -> str:
    """Return found variables as the text of a tag file, without those that are `unwritable`."""
    tags = [tag for tag in tags if is_writable(tag.node)]
    names = tag_names([tag.path for tag in tags])
    return tag_file((name, tag.node, tag.measure.unit, tag.measure.range) for name, tag in zip(names, tags, strict=True))


def unwritable(tags: Sequence[FoundTag]) -> list[str]:
    """Return the names of found variables whose nodes cannot stand in a tag file."""
    return [".".join(tag.path) for tag in tags if not is_writable(tag.node)]


def has_stored(device: OpcUaDevice) -> bool:
    """Return whether tags of this device are kept: its file holds more than the line of names."""
    path = found_path(device)
    try:
        return path is not None and path.stat().st_size > len(found_file(()))
    except OSError:
        return False


def store_found(device: OpcUaDevice, findings: Findings) -> Change | None:
    """Write what was found, and what was left out; return what is new among the tags, None for nothing.

    Raises NotKept, and NotFound where the number of a root means another node than before.
    """
    path = found_path(device)
    assert path is not None
    try:
        settle_roots(device, findings.roots)
    except OSError as error:
        raise NotKept(f"{roots_path(device)} cannot be kept: {os_reason(error)}; found: names its folder") from None
    if names := unwritable(findings.tags):
        log.warning("variables are left out, their node ids cannot stand in a file", device=device.name, count=len(names))
    change = _kept(path, found_file(findings.tags))
    reasons, place = list(findings.reasons()), left_out_path(device)
    if (reasons or place.is_file()) and _write_news(place, "".join(f"{line}\n" for line in reasons)) is not None:
        log.info("not everything that was found becomes a tag", device=device.name, left_out=reasons or "nothing")
    return None if change is None else replace(change, cut=findings.is_cut)


def keep_measures(device: OpcUaDevice, tags: Sequence[OpcUaTag], measures: Sequence[EngineeringUnit]) -> Change | None:
    """Write units and ranges of configured tags; otherwise as `keep`. All that is new is altered: the tags are known."""
    pairs = [(tag, measure) for tag, measure in zip(tags, measures, strict=True) if measure != EngineeringUnit()]
    change = _kept(units_path(device), tag_file((tag.name, tag.node, one.unit, one.range) for tag, one in pairs))
    return Change([], [], [*change.added, *change.altered, *change.removed]) if change else None


def _kept(path: Path, text: str) -> Change | None:
    before = _write_news(path, text)
    return None if before is None else compare(before, text)


def _write_news(path: Path, text: str) -> str | None:
    """Write a file where it is another one; return its text before, None where it is the same. Raises NotKept."""
    try:
        before = path.read_text(encoding="utf-8") if path.is_file() else None
        if before == text:
            return None
        path.parent.mkdir(parents=True, exist_ok=True)
        write_private(path, text.encode())
    except (OSError, ValueError) as error:
        why = os_reason(error) if isinstance(error, OSError) else "it cannot be compared or written"
        raise NotKept(f"{path} cannot be kept: {why}; found: names its folder") from None
    return before or ""


def compare(before: str, now: str) -> Change:
    """Return what differs between the texts of two tag files, by the tags' names."""
    old, new = _rows(before), _rows(now)
    altered = [name for name in new if name in old and old[name] != new[name]]
    return Change([n for n in new if n not in old], [n for n in old if n not in new], altered)


def _rows(text: str) -> dict[str, tuple[str, ...]]:
    """Return node, unit and range by name. Files of earlier versions have no range."""
    try:
        return {row[0]: (*row[1:], "", "", "")[:3] for row in [*csv.reader(io.StringIO(text))][1:] if row}
    except csv.Error:  # somebody has changed the file: it is written anew
        return {}


async def refresh(metadata: Metadata, device: OpcUaDevice, tags: Sequence[OpcUaTag]) -> Change | None:
    """Ask the server for tags, units and ranges, and keep them. Return what is new, None for nothing.

    Raises NotConnected.
    """
    change, found = None, list[FoundTag]()
    if device.browse:
        findings = await metadata.browse(device.browse)
        found = findings.tags
        change = await asyncio.to_thread(store_found, device, findings)
    found_nodes = {tag.node for tag in found}
    await turn_after(len(tags))
    unstated = lacking(tags)
    await turn_after(len(tags))
    asked = [tag for tag in unstated if tag.node not in found_nodes]
    await turn_after(len(tags))
    measures = await metadata.units([tag.node for tag in asked]) if asked else []
    try:
        units = await asyncio.to_thread(keep_measures, device, asked, measures) if asked else None
    except NotKept as error:
        log.info("units are not kept", device=device.name, error=str(error))
        units = None
    if change is None or units is None:
        return change or units
    return replace(change, altered=[*change.altered, *units.altered])
