"""The port of a sink: the connection that messages are sent on. It reports the result for each message."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Literal, Protocol, runtime_checkable

from gateway.core.ports.outbox import Delivery


class EndedBy(Enum):
    """Who has ended a connection, and what follows from it."""

    FAR_END = "far end"
    """The far end closed it, or it broke: one of the messages in flight may be the cause."""
    SINK = "sink"
    """The sink gave it up, for instance because answers stayed away. No message is to blame."""
    MOVE = "move"
    """The sink gave it up for another place, which `open` tries next: no need to wait longer than the first time."""


@dataclass(frozen=True, slots=True)
class Ending:
    """The end of a connection."""

    reason: str
    """A sentence part for people."""
    by: EndedBy = EndedBy.FAR_END
    """Who has ended it."""
    had_more: bool = False
    """Something of the sink's own was in flight beside the messages, so no message was alone."""


class Sink(Protocol):
    """A connection upstream. One publisher owns it: `open`, then `serve`, then `close`, and again from the beginning."""

    async def open(self) -> None:
        """Connect and be accepted. Raises NotConnected. Cancellable at once."""
        ...

    async def serve(self, on_live: Callable[[], None]) -> Ending:
        """Keep the connection in use and return how it ended. Called once after each `open`, runs beside `send`.

        on_live: called once messages may be sent, before the sink publishes the gateway's state: what is made
        from then on is live on this connection. Cancelled, it stops what goes beside the messages; the connection stays
        until `close`.
        """
        ...

    async def room(self) -> int:
        """Wait until messages may be sent and there is room; return for about how many. Cancellable."""
        ...

    def send(self, delivery: Delivery) -> "asyncio.Future[None]":
        """Hand over a message, in the order of sending.

        The future ends with None once the far end has it, or with Permanent (it will never take this message), Retryable
        (not now; also where it has accepted nothing at all on this connection, which says nothing about the message) or
        NotConnected (the connection went first, or there is none).
        """
        ...

    async def close(self, *, abort: bool = False, stop_reason: str = "", within_s: float = 0.0) -> None:
        """Disconnect; does nothing where nothing is open. Never raises.

        abort: the gateway has failed, and the far end is to see the connection break. stop_reason: why the gateway stops,
        which a sink that publishes the gateway's state publishes within `within_s` seconds or half a second.
        """
        ...


class StatusFeed(Protocol):
    """The gateway's state, of which only the newest matters: it goes beside the outbox. Called on the event loop."""

    def current(self) -> tuple[str, bytes]:
        """Return topic and payload of the state as it is now."""
        ...

    def changed(self) -> Awaitable[None]:
        """Return once there is something new since `current` or this was last called. Cancellable."""
        ...

    def offline(self, reason: str) -> tuple[str, bytes]:
        """Return topic and payload of the state that the gateway is offline from now on."""
        ...


class Certificate(Protocol):
    """The facts of a certificate that its expiry event needs."""

    @property
    def owner(self) -> Literal["broker", "gateway"]:
        """Return whose it is."""
        ...

    @property
    def subject(self) -> str:
        """Return its subject's distinguished name."""
        ...

    @property
    def end_ms(self) -> int:
        """Return when it ends, ms UTC."""
        ...


@runtime_checkable
class Certified(Protocol):
    """Capability of a sink: its connection rests on certificates."""

    @property
    def certificates(self) -> Sequence[Certificate]:
        """Return those in use. May read files, and is called on a thread."""
        ...


class ReceivedMessage(Protocol):
    """A message of a subscription."""

    @property
    def topic(self) -> str:
        """Return its topic."""
        ...

    @property
    def payload(self) -> bytes:
        """Return its payload."""
        ...

    @property
    def is_kept(self) -> bool:
        """Return whether the far end had kept it from earlier."""
        ...

    @property
    def is_repeated(self) -> bool:
        """Return whether the far end marks it as a possible repetition."""
        ...

    @property
    def is_fleeting(self) -> bool:
        """Return whether it came without acknowledgement.

        The far end keeps none of its kind for those who are away.
        """
        ...


class Subscriber(Protocol):
    """The receiving side, for `gateway tail` and the demo. It never connects again by itself."""

    async def open(self) -> None:
        """Connect and be accepted. Raises NotConnected."""
        ...

    @property
    def resumed(self) -> bool:
        """Return whether the far end had kept the subscriptions, and what came meanwhile."""
        ...

    async def subscribe(self, topic_filter: str) -> None:
        """Receive what matches. Raises Permanent when the far end refuses, NotConnected."""
        ...

    async def receive(self) -> ReceivedMessage:
        """Return the next message; one caller. Raises NotConnected. Cancelled, it loses none."""
        ...

    async def lost(self) -> str:
        """Return the reason once the connection is gone."""
        ...

    async def close(self, *, forget: bool = False) -> None:
        """Disconnect. forget: the far end keeps no subscriptions. Never raises."""
        ...
