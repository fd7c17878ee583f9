"""Notifications of one session, handed to the devices whose subscriptions they are of."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final
from weakref import WeakValueDictionary

from gateway.core.clock import Clock
from gateway.core.errors import NotConnected
from gateway.sources.opcua.client.publish_loop import Notification, PublishLoop, PublishService
from gateway.sources.opcua.port.errors import ServiceFault
from gateway.sources.opcua.port.traffic import Traffic

MOST_WAITING: Final = 100_000
"""Values and events of one device that wait for it while another one asks the server for more."""
ORPHANED_S: Final = 30.0
"""A subscription whose notifications nobody has claimed for so long is deleted."""
_MOST_UNCLAIMED: Final = 64
"""Notifications that are kept of subscriptions which nobody has claimed yet."""


class Inbox:
    """What came for the subscriptions of one device and was not taken yet. traffic: the device's."""

    def __init__(self, traffic: Traffic, most: int = MOST_WAITING) -> None:
        """Begin empty. most: values and events that wait at most; one notification is always taken."""
        self.traffic = traffic
        self._most = most
        self._waiting: deque[Notification] = deque()
        self._size = 0

    def push(self, notification: Notification) -> None:
        """Add a notification. Where that is too much, the oldest ones are dropped and count as lost before the next."""
        self._waiting.append(notification)
        self._size += _size(notification)
        while self._size > self._most and len(self._waiting) > 1:
            dropped = self._waiting.popleft()
            self._size -= _size(dropped)
            following = self._waiting[0]
            following.lost += dropped.lost + (not dropped.is_keepalive)
            following.status = dropped.status if following.status is None else following.status

    def pop(self) -> Notification | None:
        """Return what came first, None where nothing waits."""
        if not self._waiting:
            return None
        notification = self._waiting.popleft()
        self._size -= _size(notification)
        return notification


def _size(notification: Notification) -> int:
    return 1 + sum(len(columns) for columns in notification.changes) + len(notification.events)


class Inboxes:
    """Routes the notifications of a session by the ids of their subscriptions.

    Whoever waits has the next notification fetched, of whichever subscription it is; so a server is asked for more only
    while somebody waits.
    """

    def __init__(self, service: PublishService, clock: Clock, name: str, delete: Callable[[int], Awaitable[object]]) -> None:
        """Begin without any. name: for logs. delete: deletes a subscription at the server.

        An inbox belongs to its device: once that is gone, its subscriptions are nobody's.
        """
        self._publishing = PublishLoop(service, clock, name, self.traffic_of)
        self._delete = delete
        self._now_s = clock.monotonic
        self._by_subscription: WeakValueDictionary[int, Inbox] = WeakValueDictionary()
        self._unclaimed: deque[Notification] = deque(maxlen=_MOST_UNCLAIMED)
        self._orphans: dict[int, float] = {}
        self._fetching: asyncio.Task[None] | None = None
        self._deleting: set[asyncio.Task[None]] = set()
        self._unknown = Traffic()

    def claim(self, subscription: int, inbox: Inbox) -> None:
        """Hand what comes of a subscription to this inbox, from the first notification on."""
        self._by_subscription[subscription] = inbox
        self._orphans.pop(subscription, None)
        early = [one for one in self._unclaimed if one.subscription == subscription]
        for notification in early:
            self._unclaimed.remove(notification)
            inbox.push(notification)
        self._count()

    def release(self, inbox: Inbox) -> list[int]:
        """Hand nothing more to an inbox. Returns the subscriptions that were its."""
        ids = [subscription for subscription, owner in self._by_subscription.items() if owner is inbox]
        for subscription in ids:
            del self._by_subscription[subscription]
            self._publishing.forget(subscription)
        self._count()
        return ids

    def _count(self) -> None:
        self._publishing.devices = len({id(inbox) for inbox in self._by_subscription.values()})

    def traffic_of(self, subscription: int) -> Traffic:
        """Return where a subscription is counted. subscription: 0 where an answer does not say."""
        if (owner := self._by_subscription.get(subscription)) is not None:
            return owner.traffic
        owners = {id(inbox): inbox for inbox in self._by_subscription.values()}
        return next(iter(owners.values())).traffic if len(owners) == 1 and not subscription else self._unknown

    async def next(self, inbox: Inbox) -> Notification:
        """Wait for the next notification of this inbox. Raises NotConnected."""
        while (notification := inbox.pop()) is None:
            fetching = self._fetching
            if fetching is None or fetching.done():
                fetching = self._fetching = asyncio.create_task(self._fetch(), name="opcua notifications")
                fetching.add_done_callback(_retrieve)
            await asyncio.wait([fetching])
            if fetching.cancelled():
                raise NotConnected("not open")
            if (error := fetching.exception()) is not None:
                raise error
        return notification

    async def _fetch(self) -> None:
        notification = await self._publishing.next()
        subscription = notification.subscription
        if (owner := self._by_subscription.get(subscription)) is not None:
            owner.push(notification)
            return
        self._unclaimed.append(notification)
        if self._now_s() - self._orphans.setdefault(subscription, self._now_s()) > ORPHANED_S:
            del self._orphans[subscription]
            self._publishing.forget(subscription)
            deleting = asyncio.create_task(self._end(subscription), name="opcua orphan")  # nobody waits for the answer
            self._deleting.add(deleting)
            deleting.add_done_callback(self._deleting.discard)

    async def _end(self, subscription: int) -> None:
        with suppress(ServiceFault, NotConnected):
            await self._delete(subscription)

    def resume(self) -> None:
        """Go on over another channel; see `PublishLoop.resume`."""
        self._publishing.resume()

    async def close(self) -> None:
        """Fetch no more, and cancel the requests in flight."""
        fetching, self._fetching = self._fetching, None
        tasks = [*self._deleting, *([fetching] if fetching is not None else [])]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await self._publishing.close()


def _retrieve(task: asyncio.Task[None]) -> None:
    """Look at the outcome of a task that nobody may wait for any more."""
    if not task.cancelled():
        task.exception()
