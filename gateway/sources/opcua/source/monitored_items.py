"""Which nodes are monitored, which are polled instead, and which send nothing although they should."""

import asyncio
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Final

import numpy as np
import structlog

from gateway.core.blocks import SampleBlock
from gateway.core.errors import NotConnected
from gateway.core.log_throttle import LogThrottle
from gateway.sources.opcua.port.values import Item, Values
from gateway.sources.opcua.source.diagnostics import STALE, Diagnostics
from gateway.sources.opcua.source.poison_state import Fault, PoisonState
from gateway.sources.opcua.source.reading_queue import ReadingQueue
from gateway.sources.opcua.source.source_device import SourceDevice
from gateway.sources.opcua.source.staleness import Staleness
from gateway.sources.opcua.status.codes import CANNOT_SUBSCRIBE, is_good, qualities_of, status_name
from gateway.sources.opcua.status.explanation import explained

log = structlog.get_logger("opcua")

MOST_RETRIED: Final = 1000
"""Refused nodes at once: about one service call."""
DEAD: Final = "the server keeps the connection alive but sends no data, not even for nodes that were just added"


class MonitoredItems:
    """The monitored items of one session. Rows that are not trusted (see `PoisonState`) are left out, but by `add`."""

    def __init__(
        self,
        device: SourceDevice,
        values: Values,
        queue: ReadingQueue,
        diagnostics: Diagnostics,
        staleness: Staleness,
        poison: PoisonState,
    ) -> None:
        """Begin with nothing monitored."""
        self.polled: set[int] = set()
        """Rows of items that are read instead, constant once `add_all` or `poll_all` has returned."""
        self._lacks_polls = False
        """An item was added later that can only be polled, which takes a new connection."""
        self._device = device
        self._values = values
        self._queue = queue
        self._diagnostics = diagnostics
        self._staleness = staleness
        self._poison = poison
        self._left_out_log = LogThrottle(device.clock, math.inf)
        self._adding = asyncio.Lock()

    async def poll_all(self) -> None:
        """Monitor nothing: all items are read."""
        self.polled = {item.row for item in self._device.items}
        await self._leave_out_culprits()

    async def add_all(self) -> None:
        """Monitor everything that the server can monitor; the rest is polled where it may be read."""
        untrusted = self._poison.untrusted
        items = [item for item in self._device.items if item.row not in untrusted]
        async with self._adding:
            statuses = await self._values.subscribe(items)
        await self._record(items, self._poll_instead(items, statuses))
        await self._leave_out_culprits()

    async def add(self, items: Sequence[Item]) -> list[int]:
        """Monitor these, too, or anew. Returns the rows that the server accepts."""
        async with self._adding:
            statuses = await self._values.subscribe(items)
        self._lacks_polls = self._lacks_polls or not CANNOT_SUBSCRIBE.isdisjoint(statuses)
        await self._record(items, statuses)
        return [item.row for item, status in zip(items, statuses, strict=True) if is_good(status)]

    async def retry(self) -> None:
        """Add refused nodes whose retry is due. Raises NotConnected, also as `reconnect_for_polls`."""
        due = self._device.item_map.items_of(self._diagnostics.health.due(self._device.clock.monotonic()))
        if due := [item for item in due if item.row not in self.polled | self._poison.untrusted]:
            await self.add(due[:MOST_RETRIED])
            self.reconnect_for_polls()

    def reconnect_for_polls(self) -> None:
        """Raise NotConnected where nodes were added that can only be polled, once nothing is searched for.

        The next connection polls them.
        """
        if self._lacks_polls and not self._poison.is_searching:
            raise NotConnected("some nodes are polled from now on")

    async def leave_out(self, faults: Mapping[int, Fault]) -> None:
        """Make the tags of items bad that bring others down. faults: by item row."""
        items = [self._device.items[row] for row in faults]
        for item in items:
            fault = faults[item.row]
            if self._left_out_log.is_due("", item.row):
                reason = fault.words or explained(fault.status)
                log.warning("node brings others down and is left out", device=self._device.name, node=item.node, why=reason)
        await self._record(items, [faults[item.row].status for item in items], [faults[item.row].words for item in items])

    async def _leave_out_culprits(self) -> None:
        if self._poison.culprits:
            await self.leave_out(self._poison.culprits)

    async def watch_staleness(self) -> None:
        """Look for silent nodes for ever, see `Staleness`, and monitor those anew whose values have changed.

        Returns at once where that is switched off. Raises NotConnected where the server sends nothing then, either.
        """
        device, silence_s = self._device, self._device.config.silence / 1e9
        sampling_s = max((item.sampling_ns for item in device.items), default=0) / 1e9
        grace_s = 2 * device.publishing_s + sampling_s + device.intervals.grace_s
        while silence_s:
            await device.clock.sleep(min(device.intervals.staleness_check_s, silence_s / 4))
            stale = await self._stale_rows(grace_s)
            if stale:
                added_s = device.clock.monotonic()
                await self.add([device.items[row] for row in stale])
                if accepted := set(stale) - self._diagnostics.bad_item_rows:
                    self._diagnostics.count_loss(STALE, len(accepted))
                    await device.clock.sleep(grace_s)
                    if not self._staleness.has_received_any(accepted, added_s):
                        self._staleness.on_reconnect()
                        raise NotConnected(DEAD)

    async def _stale_rows(self, grace_s: float) -> list[int]:
        """Read what was silent for too long; return the rows whose value differs and does not come within `grace_s`."""
        device, staleness = self._device, self._staleness
        asked_s = device.clock.monotonic()
        excluded: Collection[int] = self._diagnostics.bad_item_rows | self.polled | self._poison.untrusted
        due = [device.items[row] for row in staleness.due(asked_s, excluded)]
        if not due:
            return []
        answers = [answer.columns for answer in await self._values.read(due) if not answer.refused]
        if not any(staleness.changed(columns, asked_s) for columns in answers):
            return []
        await device.clock.sleep(grace_s)
        return sorted(row for columns in answers for row in staleness.changed(columns, asked_s))

    async def _record(self, items: Sequence[Item], statuses: Sequence[int], words: Sequence[str] | None = None) -> None:
        """Queue bad samples for refused nodes whose status is news. Nodes that work again will send their value."""
        now_s, health, item_map = self._device.clock.monotonic(), self._diagnostics.health, self._device.item_map
        each = zip(items, statuses, words or [""] * len(items), strict=True)
        tags = [(row, status, why) for item, status, why in each for row in item_map.tags_of(item)]
        health.accept(row for row, status, _ in tags if is_good(status))
        refused = [one for one in tags if not is_good(one[1])]
        news = [(row, status) for row, status, why in refused if health.fail(row, status, now_s, why)]
        if news:
            rows, codes = (np.array(column, np.uint32) for column in zip(*news, strict=True))
            times = np.full(rows.size, self._device.clock.now_ns(), np.int64)
            ids = rows + np.uint32(self._device.columns.first_tag)
            await self._queue.put(SampleBlock(ids, times, np.full(rows.size, np.nan), qualities_of(codes)))

    def _poll_instead(self, items: Sequence[Item], statuses: Sequence[int]) -> list[int]:
        """Note the items that the server cannot monitor but may let us read. Returns the statuses, good for these."""
        self.polled = {item.row for item, status in zip(items, statuses, strict=True) if status in CANNOT_SUBSCRIBE}
        if self.polled:
            reason = status_name(next(status for status in statuses if status in CANNOT_SUBSCRIBE))
            log.warning(
                "nodes are polled", device=self._device.name, polled=len(self.polled), nodes=len(items), reason=reason
            )
        return [0 if item.row in self.polled else status for item, status in zip(items, statuses, strict=True)]
