"""From notifications to the values and events that a session hands on. Pure."""

from collections import deque
from collections.abc import Sequence
from dataclasses import replace

from gateway.core.errors import NotConnected
from gateway.sources.opcua.client.event_items import EVENT_HANDLES, without_event_items
from gateway.sources.opcua.client.publish_loop import Notification
from gateway.sources.opcua.client.subscriptions import Subscriptions
from gateway.sources.opcua.codec.data_values import columns_without_values
from gateway.sources.opcua.port.events import EventFields, is_model_change
from gateway.sources.opcua.port.values import DataValues
from gateway.sources.opcua.status.codes import status_name


class Notifications:
    """The notifications of one session, taken apart and checked, in the order received."""

    def __init__(self, subscriptions: Subscriptions, notifiers: int) -> None:
        """Begin empty. notifiers: how many the configuration names; one more event item is that of model changes."""
        self._subscriptions = subscriptions
        self._notifiers = notifiers
        self._received: deque[DataValues] = deque()
        self._ended: int | None = None

    def pop(self) -> DataValues | None:
        """Return what was received first, None when another notification is needed.

        Raises NotConnected once the server has ended the subscription.
        """
        if self._received:
            return self._received.popleft()
        if self._ended is not None:
            raise NotConnected(f"the server ended the subscription: {status_name(self._ended)}")
        return None

    def push(self, notification: Notification) -> None:
        """Add a notification. Raises NotConnected where it has a client handle that the server was never given."""
        self._ended, lost = notification.status, notification.lost
        given = [replace(event, notifier=event.notifier - EVENT_HANDLES) for event in notification.events]
        if any(not 0 <= event.notifier <= self._notifiers for event in given):
            raise NotConnected("the server sent an event for a client handle that it was never given")
        changed = any(event.notifier == self._notifiers and is_model_change(event) for event in given)
        events: Sequence[EventFields] = [event for event in given if event.notifier < self._notifiers]
        for columns in [without_event_items(change) for change in notification.changes] or [columns_without_values([], 0)]:
            if len(columns) and not self._subscriptions.knows(int(columns.row.max())):
                raise NotConnected("the server sent a value for a client handle that it was never given")
            times = notification.received_ns, notification.server_clock_ns
            values = DataValues(
                columns,
                *times,
                lost,
                events,
                model_changed=changed,
                again=notification.again,
                late_ns=notification.late_ns,
            )
            self._received.append(values)
            lost, events, changed = 0, (), False
