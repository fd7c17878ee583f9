"""The tags that `browse` finds on a server, kept as a tag file: read at each start, written when there is news."""

import csv
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.core.clock import Clock
from gateway.core.errors import NotConnected
from gateway.sources.opcua.config import OpcUaDevice
from gateway.sources.opcua.tagfile import tag_file

_NAMED = 5


class NotFound(NotConnected):
    """Tags cannot be found or kept, though the connection is well: a root is not there, or the disk refuses."""


@dataclass(frozen=True, slots=True)
class FoundTag:
    """A variable that becomes a tag. node: by namespace URI, so that it outlives a new order of namespaces."""

    path: tuple[str, ...]
    node: str
    unit: str


@dataclass(frozen=True, slots=True)
class Change:
    """What differs between the tags that run and those that the server has now, by name."""

    added: Sequence[str]
    removed: Sequence[str]
    altered: Sequence[str]
    cut: bool

    def detail(self) -> dict[str, object]:
        """As fields of an event."""
        names = [*self.added, *self.removed, *self.altered][:_NAMED]
        counts = {"added": len(self.added), "removed": len(self.removed), "altered": len(self.altered)}
        more = {"cut": True} if self.cut else {}
        return {"reason": "the server's model has changed; taken at the next start", **counts, "names": names, **more}


def found_path(device: OpcUaDevice) -> Path | None:
    """Where the found tags of a device are kept; None for one without `browse`."""
    return Path(device.found) / f"{device.name}.csv" if device.browse else None


def keep(device: OpcUaDevice, tags: Sequence[FoundTag], *, cut: bool) -> Change | None:
    """Write what was found; returns what is new in it, None for nothing. Raises NotFound when it cannot be written."""
    path = found_path(device)
    assert path is not None
    text = tag_file((tag.path, tag.node, tag.unit) for tag in tags)
    try:
        before = path.read_text(encoding="utf-8") if path.is_file() else None
        if before == text:
            return None
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_suffix(".new")
        new.write_text(text, encoding="utf-8")
        os.replace(new, path)
    except (OSError, ValueError) as error:
        raise NotFound(f"{path} cannot be kept: {error}; found: names its folder") from None
    return compare(before or "", text, cut=cut)


def compare(before: str, now: str, *, cut: bool = False) -> Change:
    """Two tag files, by the tags' names."""
    old, new = _rows(before), _rows(now)
    altered = [name for name in new if name in old and old[name] != new[name]]
    return Change([n for n in new if n not in old], [n for n in old if n not in new], altered, cut)


def _rows(text: str) -> dict[str, tuple[str, ...]]:
    return {row[0]: tuple(row[1:]) for row in [*csv.reader(io.StringIO(text))][1:] if row}


async def find(device: OpcUaDevice, clock: Clock) -> Change | None:
    """Ask the server and keep what it says; returns what is new in it, None for nothing. Raises NotConnected."""
    from gateway.sources.opcua.client import connect
    from gateway.sources.opcua.redundancy import Servers

    connection = await Servers(device.model_copy(update={"mode": "poll"}), connect, clock).open()
    try:
        tags, cut = await connection.find(device.browse)
    finally:
        await connection.close()
    return keep(device, tags, cut=cut)
