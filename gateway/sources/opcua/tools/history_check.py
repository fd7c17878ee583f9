"""Check whether a server lets history be read back, by reading the last second."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

import numpy as np

from gateway.core.clock import Clock
from gateway.sources.opcua.config.device import OpcUaDevice, OpcUaTag
from gateway.sources.opcua.port.session import Session
from gateway.sources.opcua.port.values import DataValues
from gateway.sources.opcua.source.history.gap import Gap
from gateway.sources.opcua.source.history.readback import HistoryReader
from gateway.sources.opcua.source.item_map import ItemMap
from gateway.sources.opcua.status.explanation import explained

NONE_KEPT: Final = "no history that this user may read; switch it on in the server, or give the user the right to read it"
_MOST: Final = 100
_SPAN_NS: Final = 1_000_000_000


async def unreadable(
    connection: Session, device: OpcUaDevice, tags: Sequence[OpcUaTag], clock: Clock
) -> dict[str, list[str]]:
    """Names of tags whose history cannot be read back, by the reason with what to do. Raises NotConnected."""
    tagging = ItemMap(device, tags)
    now_ns = clock.now_ns() + round(connection.traffic.clock_ms * 1e6)
    rows = len(tagging.items)
    gap = Gap(np.full(rows, now_ns - _SPAN_NS), np.full(rows, now_ns), np.zeros(rows, np.int64))
    await HistoryReader(connection.history, tagging.items, clock, _MOST, _dropped).close(gap, 0)
    reasons: dict[str, list[str]] = defaultdict(list)
    for item in tagging.items:
        if item.row in gap.aside:
            reason = explained(gap.aside[item.row])
        elif not gap.after[item.row] and item.row not in gap.truncated:
            reason = NONE_KEPT
        else:
            continue
        reasons[reason] += [tags[row].name for row in tagging.tags_of(item)]
    return reasons


async def _dropped(values: DataValues) -> None:
    """Drop the values: only whether they can be read matters."""
