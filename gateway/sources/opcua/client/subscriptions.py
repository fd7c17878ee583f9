"""Subscriptions of a session and their monitored items, on asyncua.

One subscription for each publishing interval, more where the server limits what one may hold.
"""

import asyncio
import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from asyncua import ua
from asyncua.client.ua_session import UaSession
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds

from gateway.sources.opcua.client.addresses import Addresses
from gateway.sources.opcua.client.errors import translate_errors
from gateway.sources.opcua.client.queue_check import QueueCheck
from gateway.sources.opcua.client.services import Services, element, expect
from gateway.sources.opcua.config.device import OpcUaDevice
from gateway.sources.opcua.config.item_filter import Filter
from gateway.sources.opcua.port.adaptive_timeout import AdaptiveTimeout
from gateway.sources.opcua.port.batches import Batches
from gateway.sources.opcua.port.errors import ServiceFault
from gateway.sources.opcua.port.granted import Granted
from gateway.sources.opcua.port.values import Item
from gateway.sources.opcua.status.codes import FILTER_NOT_ALLOWED, NODE_UNKNOWN, TOO_MANY_ITEMS, is_good

NOTIFICATIONS_PER_PUBLISH: Final = 5000
ADDED_AT_ONCE: Final = 1000
MOST_CREATED: Final = 200
"""Monitored items in one call: asyncua encodes them at 0.1 ms each, 0.4 ms where others have the processor, too."""
KEEPALIVES_PER_TIMEOUT: Final = 3
_TRIGGERS: Final = {
    "status": ua.DataChangeTrigger.Status,
    "value": ua.DataChangeTrigger.StatusValue,
    "timestamp": ua.DataChangeTrigger.StatusValueTimestamp,
}


@dataclass(slots=True, eq=False)
class _Subscription:
    """One subscription on the server."""

    id: int
    interval_ns: int
    """Publishing interval as requested."""
    keepalive_s: float
    room: float
    """How many more items it may hold, as far as is known."""
    revised_ns: int
    """Publishing interval as the server revised it."""


class Subscriptions:
    """The subscriptions of one session: `create` makes the first, `add` whatever else is needed."""

    def __init__(
        self,
        session: UaSession,
        services: Services,
        addresses: Addresses,
        config: OpcUaDevice,
        timeout: AdaptiveTimeout,
        granted: Granted,
        claim: Callable[[int], None],
    ) -> None:
        """Begin without a subscription, and without I/O. claim: is called with the id of each subscription."""
        self.creations = Batches(MOST_CREATED, timeout.batch_limit())
        self._most_items = math.inf
        self._session = session
        self._services = services
        self._addresses = addresses
        self._config = config
        self._granted = granted
        self._claim = claim
        self._subscriptions: list[_Subscription] = []
        self._placed: dict[int, tuple[_Subscription, int]] = {}
        self._most_row = -1
        self.refusal = 0
        """Status with which the server refused the first subscription, 0 where it did not."""
        self.queues = QueueCheck()

    def set_limits(self, items_per_call: float, items: float) -> None:
        """Set what the server takes in one call, and in one subscription; infinite where it does not say."""
        self.creations.size = int(min(items_per_call, MOST_CREATED))
        self._most_items = items

    def __len__(self) -> int:
        return len(self._subscriptions)

    @property
    def keepalive_s(self) -> float:
        """Return how often at least one of the subscriptions shows a sign of life, seconds; 0 without any."""
        return min((one.keepalive_s for one in self._subscriptions), default=0.0)

    @property
    def first_id(self) -> int:
        """Return the id of the subscription that was created first; it also holds the event items."""
        return self._subscriptions[0].id

    async def delete(self, ids: Sequence[int]) -> None:
        """Delete monitored items of the first subscription, by their ids."""
        await self._delete(self.first_id, ids)

    def knows(self, row: int) -> bool:
        """Return whether the server was given this client handle."""
        return 0 <= row <= self._most_row

    async def create(self, interval_ns: int) -> None:
        """Create a subscription with this publishing interval. Raises ServiceFault, NotConnected."""
        config, interval_s = self._config, interval_ns / 1e9
        keepalive = max(1, round(config.timeout / 1e9 / KEEPALIVES_PER_TIMEOUT / interval_s))
        params = ua.CreateSubscriptionParameters()
        params.RequestedPublishingInterval = interval_s * 1e3
        params.RequestedMaxKeepAliveCount = keepalive
        params.RequestedLifetimeCount = max(3 * keepalive, round(config.session_timeout / interval_ns))
        params.MaxNotificationsPerPublish = NOTIFICATIONS_PER_PUBLISH
        params.PublishingEnabled = True
        try:
            with translate_errors("cannot subscribe"):
                result = await self._session.create_subscription(params, _unused)
        except ServiceFault as fault:
            if not self._subscriptions:
                self.refusal = fault.status
            raise
        revised_s = result.RevisedPublishingInterval / 1e3
        if not (math.isfinite(revised_s) and revised_s > 0):  # servers that do not revise, or revise to nonsense
            revised_s = interval_s
        self._claim(result.SubscriptionId)
        self._granted.subscription(interval_s * 1e3, revised_s * 1e3)
        keepalive_s = revised_s * (result.RevisedMaxKeepAliveCount or keepalive)
        self._subscriptions.append(
            _Subscription(result.SubscriptionId, interval_ns, keepalive_s, self._most_items, round(revised_s * 1e9))
        )

    async def add(self, items: Sequence[Item]) -> list[int]:
        """Monitor nodes; see `Values.subscribe`. Some at a time, because each costs the event loop a while."""
        statuses: list[int] = []
        for at in range(0, len(items), ADDED_AT_ONCE):
            statuses += await self._add(items[at : at + ADDED_AT_ONCE])
            await asyncio.sleep(0)
        return statuses

    async def _add(self, items: Sequence[Item]) -> list[int]:
        await self.remove([item.row for item in items])
        self._most_row = max([self._most_row, *(item.row for item in items)])
        self._addresses.retry(item.node for item in items)
        await self._addresses.resolve(item.node for item in items)
        statuses = {item.row: self._addresses.status_of(item.node) for item in items}
        statuses |= await self._unranged([item for item in items if not statuses[item.row]])
        groups: dict[int, list[Item]] = defaultdict(list)
        for item in items:
            if not statuses[item.row]:
                groups[item.publishing_ns].append(item)
        for interval_ns, group in groups.items():
            statuses |= await self._add_group(interval_ns, group)
        for item in items:
            if statuses[item.row] == NODE_UNKNOWN:
                self._addresses.forget(item.node)
        return [statuses[item.row] for item in items]

    async def remove(self, rows: Sequence[int]) -> None:
        """Delete the monitored items of these rows, as far as there are any."""
        ids: dict[_Subscription, list[int]] = defaultdict(list)
        for row in [row for row in rows if row in self._placed]:
            subscription, item_id = self._placed.pop(row)
            ids[subscription].append(item_id)
        for subscription, some in ids.items():
            subscription.room += len(some)
            await self._delete(subscription.id, some)

    async def _delete(self, subscription: int, ids: Sequence[int]) -> None:
        async def delete(batch: Sequence[int]) -> None:
            params = ua.DeleteMonitoredItemsParameters(SubscriptionId=subscription, MonitoredItemIds=list(batch))
            with translate_errors("cannot stop watching nodes"):
                await self._session.delete_monitored_items(params)

        await self.creations.run(ids, delete, lambda batch, status: None)

    async def _unranged(self, items: Sequence[Item]) -> dict[int, int]:
        """Return the items with a deadband in percent but without the EURange it needs (Part 8, 6.2), with a status."""
        asked = [item for item in items if item.filter.deadband.amount and item.filter.deadband.percent]
        if not asked:
            return {}
        name = element(ua.QualifiedName("EURange", 0), ObjectIds.HasProperty)
        found = await self._services.translate([(self._addresses.node(item.node), [name]) for item in asked])
        return {
            item.row: FILTER_NOT_ALLOWED for item, node in zip(asked, found, strict=True) if not isinstance(node, ua.NodeId)
        }

    async def _add_group(self, interval_ns: int, items: Sequence[Item]) -> dict[int, int]:
        """Add items of one publishing interval, to as many subscriptions as it takes."""
        statuses: dict[int, int] = {}
        left = list(items)
        while left:
            subscription = await self._with_room(interval_ns)
            if subscription is None:
                return statuses | {item.row: TOO_MANY_ITEMS for item in left}
            count = int(min(subscription.room, len(left)))
            added = await self._fill(subscription, left[:count])
            refused = [item for item, status in zip(left[:count], added, strict=True) if status == TOO_MANY_ITEMS]
            statuses |= {item.row: status for item, status in zip(left, added, strict=False)}
            if refused:
                subscription.room = 0
            left = refused + left[count:]
        return statuses

    async def _with_room(self, interval_ns: int) -> _Subscription | None:
        """Return a subscription with this interval, else (the server allows no more) the fastest with room; None if full."""
        same = [one for one in self._subscriptions if one.interval_ns == interval_ns and one.room > 0]
        if same:
            return same[0]
        # The server may be full rather than the subscription: one that has taken nothing proves it.
        used = {id(subscription) for subscription, _ in self._placed.values()}
        if all(id(one) in used for one in self._subscriptions if one.room == 0):
            try:
                await self.create(interval_ns)
            except ServiceFault:
                pass
            else:
                return self._subscriptions[-1]
        with_room = [one for one in self._subscriptions if one.room > 0]
        return min(with_room, key=lambda one: one.interval_ns, default=None)

    async def _fill(self, subscription: _Subscription, items: Sequence[Item]) -> list[int]:
        async def create(batch: Sequence[Item]) -> list[int]:
            params = ua.CreateMonitoredItemsParameters()
            params.SubscriptionId = subscription.id
            params.TimestampsToReturn = ua.TimestampsToReturn.Both
            params.ItemsToCreate = [_creation(self._addresses.node(item.node), item) for item in batch]
            with translate_errors("cannot watch nodes"):
                results = await self._session.create_monitored_items(params)
            expect(results, batch)
            for item, result in zip(batch, results, strict=True):
                if is_good(result.StatusCode.value):
                    self._placed[item.row] = (subscription, result.MonitoredItemId)
                    revised = result.RevisedSamplingInterval, result.RevisedQueueSize
                    self.queues.add(item, subscription.revised_ns, *revised)
                    self._granted.item(item.sampling_ns / 1e6, revised[0], item.queue_size, revised[1])
                    subscription.room -= 1
            return [int(result.StatusCode.value) for result in results]

        batches = await self.creations.run(items, create, lambda batch, status: [status] * len(batch))
        return [status for batch in batches for status in batch]


def value_of(node: ua.NodeId, item: Item) -> ua.ReadValueId:
    """Return what to read or monitor of a node: its value, or a part of it."""
    return ua.ReadValueId(NodeId=node, AttributeId=AttributeIds.Value, IndexRange=item.index or None)


def _creation(node: ua.NodeId, item: Item) -> ua.MonitoredItemCreateRequest:
    request = ua.MonitoredItemCreateRequest()
    request.ItemToMonitor = value_of(node, item)
    request.MonitoringMode = ua.MonitoringMode.Reporting
    request.RequestedParameters.ClientHandle = item.row
    request.RequestedParameters.SamplingInterval = item.sampling_ns / 1e6
    request.RequestedParameters.QueueSize = item.queue_size
    request.RequestedParameters.DiscardOldest = True
    if not item.filter.is_plain:
        request.RequestedParameters.Filter = _filter(item.filter)
    return request


def _filter(wanted: Filter) -> ua.DataChangeFilter:
    made = ua.DataChangeFilter()
    made.Trigger = _TRIGGERS[wanted.trigger]
    amount, percent = wanted.deadband
    if amount:
        made.DeadbandType = (ua.DeadbandType.Percent if percent else ua.DeadbandType.Absolute).value
        made.DeadbandValue = amount
    return made


def _unused(_: object) -> None:
    """Do nothing: the callback of asyncua's publish loop, which is off."""
