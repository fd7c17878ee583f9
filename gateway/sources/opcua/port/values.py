"""The role `Values` of a session: read nodes now, or subscribe to them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.sources.opcua.codec.columns import ValueColumns
from gateway.sources.opcua.config.item_filter import Filter
from gateway.sources.opcua.port.events import EventFields


@dataclass(frozen=True, slots=True)
class Item:
    """One node to subscribe to or to read."""

    row: int
    """Its place among the device's items; the server gets it as client handle."""
    node: str
    """NodeId or browse path, as configured."""
    sampling_ns: int
    """Requested sampling interval."""
    queue_size: int
    """Requested length of the server's queue, samples."""
    index: str = ""
    """Wanted part of an array or text, an index range (Part 4, 7.27); empty for all of it."""
    publishing_ns: int = 0
    """Publishing interval of its subscription, or the polling interval."""
    filter: Filter = Filter()  # noqa: RUF009 - an immutable tuple
    """Data change filter (Part 4, 7.22.2)."""


@dataclass(frozen=True, slots=True, eq=False)
class DataValues:
    """One read response or one notification."""

    columns: ValueColumns
    """The values, in the order received."""
    received_ns: int
    """The gateway's wall time at receipt, ns since the epoch, UTC."""
    server_clock_ns: int
    """The server's wall time when it answered, 0 where it does not say."""
    lost: int = 0
    """Notifications missing before this one."""
    events: Sequence[EventFields] = ()
    """Events that came in the same notification."""
    refused: int = 0
    """Status with which the service was refused as a whole, 0 for none; it says nothing of single nodes."""
    model_changed: bool = False
    """The server reports that its nodes, or the meaning of their values, have changed."""
    again: bool = False
    """Sent again on request (Republish), so it is older than what was lost since."""
    late_ns: int = 0
    """At most so long before `received_ns` it came; 0 where it is known to 0.1 s, as the process did not stand still."""

    def __len__(self) -> int:
        return len(self.columns)


@dataclass(frozen=True, slots=True)
class ShortQueue:
    """The queue of a monitored item that may overflow between two publications."""

    granted: int
    """Length that the server granted, samples."""
    needed: int
    """Length that one publishing interval takes, samples."""


class Values(Protocol):
    """Values of nodes. `read` may overlap with everything; the other calls not with themselves.

    Every call raises NotConnected once session, subscription or transport is gone or a request stays unanswered. A service
    that the server refuses costs only the items of that call: their status says why.
    """

    @property
    def short_queues(self) -> Mapping[int, ShortQueue]:
        """Return the subscribed items whose granted queues may overflow, by `Item.row`."""
        ...

    async def read(self, items: Sequence[Item]) -> list[DataValues]:
        """Read the values of nodes now. Returns one `DataValues` per service call; together they hold every item once."""
        ...

    async def subscribe(self, items: Sequence[Item]) -> list[int]:
        """Monitor nodes, each in a subscription of its publishing interval. An item added again replaces the earlier one.

        Returns one status code per item, in order.
        """
        ...

    async def unsubscribe(self, items: Sequence[Item]) -> None:
        """Delete the monitored items of these nodes."""
        ...

    async def next_notification(self) -> DataValues:
        """Wait for the next notification of all subscriptions, oldest first; a keep-alive is one without values.

        Back-pressure: a server is asked for at most three notifications ahead of the calls. Cancellable.
        """
        ...
