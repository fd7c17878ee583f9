"""What a server tells of its tags, kept in files that are read at each start and written when there is news: the tags that
`browse` finds, and the units and ranges of configured ones."""

import asyncio
import csv
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import structlog

from gateway.sources.opcua.config.device import OpcUaDevice, OpcUaTag
from gateway.sources.opcua.port.errors import NotFound
from gateway.sources.opcua.port.measures import Measure, lacking, measures_path
from gateway.sources.opcua.port.metadata import FoundTag
from gateway.sources.opcua.port.session import Connection
from gateway.sources.opcua.source.tag_file import tag_file, tag_names

log = structlog.get_logger("opcua")

_NAMED: Final = 5


class NotKept(NotFound):
    """The disk refuses."""


@dataclass(frozen=True, slots=True)
class Change:
    """What differs between the tags that run and those that the server has now, by name."""

    added: Sequence[str]
    removed: Sequence[str]
    altered: Sequence[str]
    cut: bool = False

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.altered)

    @property
    def some_names(self) -> list[str]:
        """Return the first names, new ones before those that are gone or altered."""
        return [*self.added, *self.removed, *self.altered][:_NAMED]


def found_path(device: OpcUaDevice) -> Path | None:
    """Where the found tags of a device are kept; None for one without `browse`."""
    return Path(device.found) / f"{device.name}.csv" if device.browse else None


def asks(device: OpcUaDevice, tags: Sequence[OpcUaTag]) -> bool:
    """Whether a start asks the server: always for `browse`; for units alone until they were told once."""
    return bool(device.browse) or (bool(lacking(tags)) and not measures_path(device).is_file())


def found_file(tags: Sequence[FoundTag]) -> str:
    """Found variables as a tag file."""
    names = tag_names([tag.path for tag in tags])
    return tag_file((name, tag.node, tag.measure.unit, tag.measure.range) for name, tag in zip(names, tags, strict=True))


def has_kept(device: OpcUaDevice) -> bool:
    """Whether tags of this device are kept: its file holds more than the line of names."""
    path = found_path(device)
    try:
        return path is not None and path.stat().st_size > len(found_file(()))
    except OSError:
        return False


def keep(device: OpcUaDevice, tags: Sequence[FoundTag], *, cut: bool) -> Change | None:
    """Write what was found; returns what is new in it, None for nothing. Raises NotFound when it cannot be written."""
    path = found_path(device)
    assert path is not None
    change = _kept(path, found_file(tags))
    return None if change is None else replace(change, cut=cut)


def keep_measures(device: OpcUaDevice, tags: Sequence[OpcUaTag], measures: Sequence[Measure]) -> Change | None:
    """Write what was told of configured tags; otherwise as `keep`. All that is new is altered: the tags are known."""
    pairs = [(tag, told) for tag, told in zip(tags, measures, strict=True) if told != Measure()]
    change = _kept(measures_path(device), tag_file((tag.name, tag.node, told.unit, told.range) for tag, told in pairs))
    return Change([], [], [*change.added, *change.altered, *change.removed]) if change else None


def _kept(path: Path, text: str) -> Change | None:
    try:
        before = path.read_text(encoding="utf-8") if path.is_file() else None
        if before == text:
            return None
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_suffix(".new")
        new.write_text(text, encoding="utf-8")
        os.replace(new, path)
    except (OSError, ValueError) as error:
        raise NotKept(f"{path} cannot be kept: {error}; found: names its folder") from None
    return compare(before or "", text)


def compare(before: str, now: str) -> Change:
    """Two tag files, by the tags' names."""
    old, new = _rows(before), _rows(now)
    altered = [name for name in new if name in old and old[name] != new[name]]
    return Change([n for n in new if n not in old], [n for n in old if n not in new], altered)


def _rows(text: str) -> dict[str, tuple[str, ...]]:
    """Files of earlier versions have no range."""
    return {row[0]: (*row[1:], "", "", "")[:3] for row in [*csv.reader(io.StringIO(text))][1:] if row}


async def ask(connection: Connection, device: OpcUaDevice, tags: Sequence[OpcUaTag]) -> Change | None:
    """Ask the server for all that it may tell, and keep it; what is new in it, None for nothing. Raises NotConnected."""
    change, found = None, list[FoundTag]()
    if device.browse:
        found, cut = await connection.find(device.browse)
        change = await asyncio.to_thread(keep, device, found, cut=cut)
    told_of = {tag.node for tag in found}
    asked = [tag for tag in lacking(tags) if tag.node not in told_of]
    measures = await connection.measures([tag.node for tag in asked]) if asked else []
    try:
        told = await asyncio.to_thread(keep_measures, device, asked, measures) if asked else None
    except NotFound as error:
        log.info("%s: units are not kept: %s", device.name, error)
        told = None
    if change is None or told is None:
        return change or told
    return replace(change, altered=[*change.altered, *told.altered])
