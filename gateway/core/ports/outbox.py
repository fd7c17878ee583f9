"""The port of the outbox: what is put in, and what one reader takes out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.core.messages import Message


@dataclass(slots=True, eq=False)
class Delivery:
    """A message that the outbox has handed to a publisher."""

    id: int
    """Its number within the outbox."""
    message: Message
    """The message to send."""
    live: bool
    """False for backlog, which is sent marked `hist`."""


class MessageQueue(Protocol):
    """The pipeline's side of the outbox."""

    def put(self, message: Message) -> None:
        """Take over a message: from one commit interval later it survives a crash, and it is delivered or accounted for."""
        ...


class Deliveries(Protocol):
    """One reader's side of the outbox.

    One publisher takes, and every delivery taken ends in exactly one ack, refuse or release.
    """

    def set_live(self, live: bool) -> None:
        """Record that what is put from now on is live for this reader, or that it is backlog, with all that waits."""
        ...

    async def fetch(self, limit: int) -> list[Delivery]:
        """Return up to `limit` messages in lane order; waits until there is one. Cancelled, it lends nothing."""
        ...

    def ack(self, delivery: Delivery) -> None:
        """Forget a delivery: it has arrived. Raises ValueError when it is not in flight, as `refuse` and `release` do."""
        ...

    def refuse(self, delivery: Delivery, reason: str) -> None:
        """Set a delivery aside with a loss record: it will never be accepted."""
        ...

    def release(self, deliveries: Sequence[Delivery]) -> None:
        """Take deliveries back as backlog: the connection went before they arrived."""
        ...
