"""Units and ranges of configured tags, as the server states them, kept beside the tags that `browse` finds. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.core.config_types import parse_value_range
from gateway.core.foreign_text import clean
from gateway.sources.opcua.config.device import OpcUaDevice, OpcUaTag


@dataclass(frozen=True, slots=True)
class EngineeringUnit:
    """EngineeringUnits and EURange of a node (Part 8, 5.6.3), as they stand in a tag file; empty where there is none."""

    unit: str = ""
    range: str = ""


def range_text(limits: tuple[float, float] | None) -> str:
    """Return limits as they stand in a tag file; empty for none."""
    return "" if limits is None else f"{limits[0]:.15g} to {limits[1]:.15g}"


def unit_of(properties: Mapping[str, Any]) -> EngineeringUnit:
    """Return unit and range from a node's properties; limits that are no range are left out."""
    limits = properties.get("EURange")
    text = range_text(limits) if isinstance(limits, tuple) else ""
    try:
        parse_value_range(text)
    except ValueError:
        text = ""
    return EngineeringUnit(clean(" ".join(str(properties.get("EngineeringUnits") or "")[:1000].split())), text)


def has_unit_of_node(tag: OpcUaTag) -> bool:
    """Return whether the tag's values are the node's own, so that the node's unit and range are the tag's, too."""
    return not tag.field and tag.scale == 1 and tag.offset == 0


def lacking(tags: Sequence[OpcUaTag]) -> list[OpcUaTag]:
    """Return the tags whose unit or range the server may state because the configuration does not."""
    return [tag for tag in tags if has_unit_of_node(tag) and (tag.is_completed or not (tag.unit and tag.range))]


def units_path(device: OpcUaDevice) -> Path:
    """Return the file that keeps the units of a device's configured tags."""
    return Path(device.found) / "units" / f"{device.name}.csv"


def completed(tag: OpcUaTag, row: Mapping[str, str]) -> OpcUaTag:
    """Return a tag with unit and range from its line of that file, where the configuration has none.

    Returns the same tag where the line is about another node, or cannot be parsed.
    """
    if row.get("node") != tag.node or not has_unit_of_node(tag):
        return tag
    changes: dict[str, Any] = {}
    if not tag.unit and row.get("unit"):
        changes["unit"] = row["unit"]
    if tag.range is None and row.get("range"):
        try:
            changes["range"] = parse_value_range(row["range"])
        except ValueError:
            return tag
    return tag.completed(changes) if changes else tag
