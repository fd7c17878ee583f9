"""From notifications to the values and events that a connection hands on. Pure."""

from collections import deque
from collections.abc import Sequence
from dataclasses import replace

from gateway.core.errors import NotConnected
from gateway.sources.opcua.client.event_items import EVENT_HANDLES, of_items
from gateway.sources.opcua.client.publishing import Notification
from gateway.sources.opcua.client.queue_check import Queues
from gateway.sources.opcua.client.subscriptions import Subscriptions
from gateway.sources.opcua.codec.data_values import columns_of
from gateway.sources.opcua.port.events import EventFields, is_model_change
from gateway.sources.opcua.port.values import DataValues
from gateway.sources.opcua.status.codes import status_name


class Arrivals:
    """Of one session. events: how many notifiers of the device's own are watched; one more is that of the model."""

    def __init__(self, subscriptions: Subscriptions, queues: Queues, events: int) -> None:
        self._subscriptions = subscriptions
        self._queues = queues
        self._own = events
        self._arrived: deque[DataValues] = deque()
        self._ended: int | None = None

    def next(self) -> DataValues | None:
        """What arrived first; None when another notification is needed. Raises NotConnected once the subscription ended."""
        if self._arrived:
            return self._arrived.popleft()
        if self._ended is not None:
            raise NotConnected(f"the server ended the subscription: {status_name(self._ended)}")
        return None

    def take(self, told: Notification) -> None:
        """A notification. Raises NotConnected where it speaks of what was never asked for."""
        self._ended, lost = told.status, told.lost
        given = [replace(event, notifier=event.notifier - EVENT_HANDLES) for event in told.events]
        if any(not 0 <= event.notifier <= self._own for event in given):
            raise NotConnected("the server sent an event for a client handle that it was never given")
        changed = any(event.notifier == self._own and is_model_change(event) for event in given)
        events: Sequence[EventFields] = [event for event in given if event.notifier < self._own]
        for columns in [of_items(change) for change in told.changes] or [columns_of([], 0)]:
            if len(columns) and not self._subscriptions.knows(int(columns.row.max())):
                raise NotConnected("the server sent a value for a client handle that it was never given")
            self._queues.look(told.subscription, told.published_ns, columns)
            times = told.received_ns, told.server_clock_ns
            self._arrived.append(DataValues(columns, *times, lost, events, model_changed=changed, again=told.again))
            lost, events, changed = 0, (), False
