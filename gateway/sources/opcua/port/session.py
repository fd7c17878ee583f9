"""The seam between this source and its protocol library: columns of data values and a few calls."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from gateway.core.clock import Clock
from gateway.sources.opcua.config.browse import Browse
from gateway.sources.opcua.config.device import OpcUaDevice, OpcUaEvents
from gateway.sources.opcua.port.adaptive_timeout import Patience
from gateway.sources.opcua.port.history import History
from gateway.sources.opcua.port.measures import Measure
from gateway.sources.opcua.port.metadata import FoundTag
from gateway.sources.opcua.port.traffic import Traffic
from gateway.sources.opcua.port.values import DataValues, Item

HEALTHY: Final = 200


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
