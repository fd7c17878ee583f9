"""Registers that two tags of a device read in different ways: one of them has a wrong address or type."""

from collections.abc import Sequence
from typing import Final

from gateway.sources.modbus.config import ModbusDevice
from gateway.sources.modbus.tag import ModbusTag
from gateway.sources.modbus.types import is_bits

_MOST: Final = 20
"""Reported of one device."""


def overlaps(device: ModbusDevice, tags: Sequence[ModbusTag]) -> list[tuple[int, int, str]]:
    """Return pairs of tags whose registers overlap, without those that share a register on purpose (bit, mask, byte).

    Two tags of one type at one address are no mistake; of devices with registers of 32 bits nothing is said.
    """
    if device.wide_registers:
        return []
    spans = sorted(
        (tag.table, tag.start, tag.start + tag.width - 1, row)
        for row, tag in enumerate(tags)
        if not is_bits(tag.table) and tag.bit is None and tag.mask is None and tag.byte is None
    )
    found: list[tuple[int, int, str]] = []
    longest = None  # of those before it, the span that reaches furthest
    for span in spans:
        table, first, last, row = span
        if longest is not None and longest[0] == table and first <= longest[2]:
            other = longest[3]
            is_same = longest[1:3] == (first, last) and tags[other].value_type == tags[row].value_type
            if not is_same and len(found) < _MOST:
                early, late = sorted((other, row))
                shared = f"{table}:{first}" if first == min(last, longest[2]) else f"{table}:{first}-{min(last, longest[2])}"
                found.append(
                    (late, early, f"tag {tags[late].name!r} reads {shared}, which tag {tags[early].name!r} reads as well")
                )
        if longest is None or longest[0] != table or last >= longest[2]:
            longest = span
    return sorted(found)
