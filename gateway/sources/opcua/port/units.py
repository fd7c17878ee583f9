"""Units and ranges that a server tells of configured tags, kept beside the tags that `browse` finds. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.core.config_types import parse_value_range
from gateway.sources.opcua.config.device import OpcUaDevice, OpcUaTag


@dataclass(frozen=True, slots=True)
class EngineeringUnit:
    """EngineeringUnits and EURange of a node (Part 8, 5.6.3), as they stand in a tag file; empty where there is none."""

    unit: str = ""
    range: str = ""


def range_text(limits: tuple[float, float] | None) -> str:
    """As it stands in a tag file."""
    return "" if limits is None else f"{limits[0]:.15g} to {limits[1]:.15g}"


def unit_of(properties: Mapping[str, Any]) -> EngineeringUnit:
    """From a node's properties; limits that are no range say nothing."""
    limits = properties.get("EURange")
    text = range_text(limits) if isinstance(limits, tuple) else ""
    try:
        parse_value_range(text)
    except ValueError:
        text = ""
    return EngineeringUnit(" ".join(str(properties.get("EngineeringUnits") or "").split()), text)


def has_unit_of_node(tag: OpcUaTag) -> bool:
    """The tag's values are the node's own, so that the node's unit and range are the tag's, too."""
    return not tag.field and tag.scale == 1 and tag.offset == 0


def lacking(tags: Sequence[OpcUaTag]) -> list[OpcUaTag]:
    """Tags of which the server may tell something that the configuration does not, whether it has done so already or not."""
    return [tag for tag in tags if has_unit_of_node(tag) and (tag.is_completed or not (tag.unit and tag.range))]


def units_path(device: OpcUaDevice) -> Path:
    """Where the units of a device's configured tags are kept."""
    return Path(device.found) / "units" / f"{device.name}.csv"


def completed(tag: OpcUaTag, row: Mapping[str, str]) -> OpcUaTag:
    """A tag with what a line of that file says of it, where the configuration says nothing; the same tag where the line is
    about another node, or makes no sense."""
    if row.get("node") != tag.node or not has_unit_of_node(tag):
        return tag
    told: dict[str, Any] = {}
    if not tag.unit and row.get("unit"):
        told["unit"] = row["unit"]
    if tag.range is None and row.get("range"):
        try:
            told["range"] = parse_value_range(row["range"])
        except ValueError:
            return tag
    return tag.completed(told) if told else tag
