"""The seam to the wire: what the source needs of a connection. `client.py` is the real one, tests bring a fake."""

from typing import Final, Protocol

from gateway.core.errors import NotConnected, Retryable
from gateway.core.loop_watch import Arrival
from gateway.sources.modbus.types import Table

EXCEPTIONS: Final = {
    1: "illegal function", 2: "illegal data address", 3: "illegal data value", 4: "server device failure",
    5: "acknowledge", 6: "server device busy", 7: "negative acknowledge", 8: "memory parity error",
    10: "gateway path unavailable", 11: "gateway target device failed to respond",
}  # fmt: skip
"""Exception codes by number: MODBUS Application Protocol 1.1b3, section 7."""


class ExceptionReply(Retryable):
    """The unit (or the gateway before it) answered with an exception. The connection is fine."""

    def __init__(self, code: int) -> None:
        self.code = code
        super().__init__(f"exception {code}, {EXCEPTIONS.get(code, 'not in the standard')}")


class NoReply(Retryable):
    """No reply within the timeout. A reply that comes later is thrown away."""


class BadReply(Retryable):
    """A reply came that does not fit the request (length, unit, function)."""


class Refusal(BadReply):
    """The peer closed the connection instead of answering, twice, though it answers other requests."""


class HungUp(NotConnected):
    """The peer closed a connection at the first request on it."""


class Link(Protocol):
    """One connection.

    One owner; one `read` at a time, several over tcp and tls. Every call may be cancelled and then ends at once.
    """

    @property
    def connected(self) -> bool:
        """Return False before `open`, after `close`, and once the peer is known to be gone."""
        ...

    @property
    def arrival(self) -> Arrival:
        """Return when the reply came that `read` has returned; it holds until something is awaited."""
        ...

    @property
    def unasked(self) -> int:
        """Return how many whole replies came that nobody here asked for, since the link was made."""
        ...

    @property
    def doubt_s(self) -> float:
        """Return for how long after a reply it may show that it was another master's; 0 where it cannot be."""
        ...

    @property
    def bad_frames(self) -> int:
        """Return how often something came between the replies that is no frame, since the link was made."""
        ...

    @property
    def advice(self) -> str:
        """Return which setting the connection needs though it works by now, for people; "" for none."""
        ...

    async def open(self, timeout_s: float) -> None:
        """Connect. Raises NotConnected with the reason."""
        ...

    async def read(self, unit: int, table: Table, start: int, count: int, timeout_s: float, octets: int = 2) -> bytes:
        """Return the payload of one read: octets * count bytes of registers, or count bits packed into bytes.

        Raises ExceptionReply, NoReply, BadReply, NotConnected.
        """
        ...

    def close(self) -> None:
        """Close the socket. Never raises; may be called twice."""
        ...
