"""The seam between this source and its protocol library: columns of data values and a few calls."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from gateway.core.blocks import Mask, Times, Values
from gateway.core.clock import Clock
from gateway.core.errors import NotConnected
from gateway.sources.opcua.config.browse import Browse
from gateway.sources.opcua.config.device import OpcUaDevice, OpcUaEvents
from gateway.sources.opcua.config.item_filter import Filter
from gateway.sources.opcua.port.adaptive_timeout import Patience
from gateway.sources.opcua.port.measures import Measure
from gateway.sources.opcua.port.traffic import Traffic
from gateway.sources.opcua.source.alarms import EventFields
from gateway.sources.opcua.source.tag_discovery import FoundTag

KIND_NULL: Final = 0
KIND_NOT_SCALAR: Final = 255
HEALTHY: Final = 200
EXACT: Final = 2**53
"""Integers up to here are exact in float64."""


@dataclass(frozen=True, slots=True)
class Item:
    """One node to watch or read. row: its place among the device's items, sent to the server as client handle.

    node: a NodeId or browse path as configured. index: the part of an array or text that is wanted (Part 4, 7.27).
    publishing_ns: how often its subscription publishes, or how often it is polled.
    """

    row: int
    node: str
    sampling_ns: int
    queue_size: int
    index: str = ""
    publishing_ns: int = 0
    filter: Filter = Filter()  # noqa: RUF009 - an immutable tuple


@dataclass(frozen=True, slots=True, eq=False)
class ValueColumns:
    """Data values (OPC UA Part 4, 7.11) as equal-length columns in the order received.

    row: uint32[n], `Item.row`. kind: uint8[n], built-in type number (Part 6, 5.1.2) of a scalar, 0 for null, 255 for
    anything that is not a scalar. number: float64[n], NaN where the value is none. objects: by place in the columns, what
    float64 cannot carry: texts, dates, arrays, structures, and integers beyond 2^53 exactly; all as JSON can carry them.
    status: uint32[n], status codes. source_ns, server_ns: int64[n], ns since the epoch, UTC, 0 where missing.
    """

    row: NDArray[np.uint32]
    kind: NDArray[np.uint8]
    number: Values
    objects: Mapping[int, object]
    status: NDArray[np.uint32]
    source_ns: Times
    server_ns: Times

    def __len__(self) -> int:
        return self.row.size

    def take(self, wanted: Mask) -> "ValueColumns":
        """Only these values."""
        places = np.cumsum(wanted) - 1
        objects = {int(places[place]): value for place, value in self.objects.items() if wanted[place]}
        row, kind, number = self.row[wanted], self.kind[wanted], self.number[wanted]
        status, source, server = self.status[wanted], self.source_ns[wanted], self.server_ns[wanted]
        return ValueColumns(row, kind, number, objects, status, source, server)


def joined(parts: Sequence[ValueColumns]) -> ValueColumns:
    """All parts (at least one) behind each other."""
    first = np.cumsum([0, *(len(part) for part in parts)]).tolist()
    objects = {first[i] + place: value for i, part in enumerate(parts) for place, value in part.objects.items()}
    row, kind, status = (np.concatenate([getattr(part, name) for part in parts]) for name in ("row", "kind", "status"))
    number = np.concatenate([part.number for part in parts])
    source, server = (np.concatenate([getattr(part, name) for part in parts]) for name in ("source_ns", "server_ns"))
    return ValueColumns(row, kind, number, objects, status, source, server)


@dataclass(frozen=True, slots=True, eq=False)
class DataValues:
    """One answer or notification. received_ns: the gateway's wall time at receipt. server_clock_ns: the server's wall time
    when it answered, 0 where it does not say. lost: notifications that are missing before this one. events: what else came
    with it. refused: the status with which the service was refused as a whole, which says nothing of single nodes.
    model_changed: the server says that its nodes, or what their values mean, have changed. again: it had to be asked for
    again, so it is older than what was lost since."""

    columns: ValueColumns
    received_ns: int
    server_clock_ns: int
    lost: int = 0
    events: Sequence[EventFields] = ()
    refused: int = 0
    model_changed: bool = False
    again: bool = False

    def __len__(self) -> int:
        return len(self.columns)


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """Part of one node's history: values in time order (their row means nothing), and the continuation point behind which
    there is more, empty where there is not."""

    status: int
    point: bytes
    columns: ValueColumns


@dataclass(frozen=True, slots=True)
class Standing:
    """How a server says that it stands: ServerState (Part 5, 12.6; 0: running) and ServiceLevel (Part 4, 6.6.2.4.2)."""

    state: int
    level: int

    def __str__(self) -> str:
        running = "" if self.is_running else f" and not running (state {self.state})"
        return f"ServiceLevel {self.level}{running}"

    @property
    def is_running(self) -> bool:
        """It does what it should."""
        return self.state == 0

    @property
    def is_healthy(self) -> bool:
        """There is no reason to look for another server."""
        return self.is_running and self.level >= HEALTHY


@dataclass(frozen=True, slots=True)
class ShortQueue:
    """What a server granted an item, and what it takes until the next publication."""

    granted: int
    needed: int


@dataclass(slots=True)
class QueueReport:
    """What is known of a server's queues. short: by `Item.row`. full: how often a queue came full although the time allowed
    more, and the server did not say whether something was lost."""

    short: dict[int, ShortQueue] = field(default_factory=dict)
    full: int = 0


class Unanswered(NotConnected):
    """The server does not answer: what it was asked, the end of the session too, may still be done when it wakes up."""


class HungUp(NotConnected):
    """The other end closed the connection, or the way to it broke."""


class Poisoned(NotConnected):
    """The server could not make an answer, or we could not read it, and what is lost with it cannot be had again."""

    def __init__(self, words: str, status: int) -> None:
        self.status = status
        super().__init__(words)


class Connection(Protocol):
    """One session with one server, open from `Connect` to `close`. Calls may overlap, but `add_items`, `add_events` and
    `next_values` not with themselves.

    Every call raises NotConnected once session, subscription or transport is gone or a request stays unanswered;
    a service that the server refuses costs only the items it was asked for, as their status.
    """

    @property
    def keepalive_s(self) -> float:
        """The subscriptions show a sign of life at least this often (as revised by the server); 0 when there is none,
        because the server has no such service: then nothing can be watched, and `next_values` never returns."""
        ...

    check_s: float
    """How often `check` wants to be called: session and channel live only as long as the server granted."""
    traffic: Traffic
    queues: QueueReport
    left_behind: bool
    """After `close`: the server could not be told, so that it keeps the session, and everything in it, for a while."""

    async def add_items(self, items: Sequence[Item]) -> list[int]:
        """Watch nodes, each in a subscription of its publishing interval. Returns one status code per item, in order.

        An item added again replaces the earlier one.
        """
        ...

    async def remove_items(self, items: Sequence[Item]) -> None:
        """Do not watch these any longer."""
        ...

    async def add_events(self, wanted: Sequence[OpcUaEvents], *, model: bool) -> list[int]:
        """Watch the events of these notifiers, instead of those named before. Returns one status code each, in order.

        model: also changes of the server's model (see `DataValues.model_changed`); their status comes last.
        """
        ...

    async def refresh_conditions(self) -> bool:
        """Have the server repeat all conditions that matter now (Part 9, 5.5.7). False where it does not know how."""
        ...

    async def event_types(self, types: Collection[str]) -> Mapping[str, str]:
        """The names of types of events, by NodeId; nothing of those that have none."""
        ...

    async def next_values(self) -> DataValues:
        """Wait for the next notification of the subscription, oldest first; a keep-alive is one without values.

        Back-pressure: a server is asked for no more than a few notifications ahead of the calls. Cancellable.
        """
        ...

    async def read(self, items: Sequence[Item]) -> list[DataValues]:
        """Read the values of nodes now. Returns one `DataValues` per service call; together they hold every item once."""
        ...

    async def labels(self, items: Sequence[Item]) -> list[Mapping[int, object] | None]:
        """What the nodes' numbers mean, by number: a text, or the names of bits that are set; empty for a node whose numbers
        are no enumeration, None for one of which the server would not say: ask again."""
        ...

    async def find(self, wanted: Sequence[Browse]) -> tuple[list[FoundTag], bool]:
        """The variables that entries of `browse` ask for, and whether there are more than their ceilings allow."""
        ...

    async def measures(self, nodes: Sequence[str]) -> list[Measure]:
        """Units and ranges of nodes; empty for those that have none or are not there."""
        ...

    async def marks(self, nodes: Sequence[str]) -> Sequence[str]:
        """What is cheap to read and another one where the model is another one: namespaces, the time of the server's start,
        and the NodeVersion (Part 3, 5.2.5) of these nodes. Empty where there are no nodes."""
        ...

    async def has_history(self, items: Sequence[Item]) -> list[bool]:
        """Which nodes have a history that may be read."""
        ...

    async def history(
        self, items: Sequence[Item], start_ns: int, end_ns: int, most: int, points: Sequence[bytes]
    ) -> list[History]:
        """Raw history from `start_ns` to `end_ns` (source times; values exactly at the end may come or not), at most `most`
        values per node, or what follows each of `points` where that is not empty; one answer per node, in order.
        One service call: raises ServiceFault."""
        ...

    async def release_history(self, items: Sequence[Item], points: Sequence[bytes]) -> None:
        """The rest behind these continuation points is not wanted."""
        ...

    async def standing(self) -> Standing:
        """What the server says of itself. One that does not say is running, and healthy."""
        ...

    async def check(self) -> int:
        """Prove that the server answers, and renew what expires. To be called every `check_s` seconds. Returns the status
        with which the server refuses to read at all, 0 while it does not."""
        ...

    async def revive(self) -> bool:
        """Open again after `close` has left a session behind: the same session over a new channel, with the same monitored
        items. What these had to say meanwhile waits on the server, as far as its queues reach. False when the server has
        forgotten it; then nothing is open. Raises NotConnected when the server cannot be reached: may be called again."""
        ...

    async def close(self, *, leave: bool = False) -> None:
        """End the session and free the socket, within about two seconds, whatever state they are in. leave: do not end the
        session, because it shall be taken over. Never raises."""
        ...


Connect = Callable[[OpcUaDevice, Clock, Patience], Awaitable[Connection]]
"""Open a session (and in subscribe mode a subscription) with a server. Raises NotConnected; cancellable at once."""
