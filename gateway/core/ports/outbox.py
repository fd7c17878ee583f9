"""The port of the outbox: the pipeline's side and the publisher's side."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.core.messages import Message


@dataclass(slots=True, eq=False)
class Delivery:
    """A message on loan from the outbox to the publisher. `live` is false for backlog, which is sent marked `hist`."""

    id: int
    message: Message
    live: bool


class MessageQueue(Protocol):
    """The pipeline's side of the outbox."""

    def put(self, message: Message) -> None:
        """Take over a message: from one commit interval later it survives a crash, and it is delivered or accounted for."""
        ...


class Deliveries(Protocol):
    """The publisher's side of the outbox. One publisher; every delivery taken ends in exactly one ack, refuse or release."""

    async def take(self, limit: int) -> list[Delivery]:
        """Up to `limit` messages in lane order, at least one: waits until there is one. Cancelled, it lends nothing."""
        ...

    def ack(self, delivery: Delivery) -> None:
        """The broker has it. Raises ValueError when it is not in flight, as `refuse` and `release` do."""
        ...

    def refuse(self, delivery: Delivery, reason: str) -> None:
        """The broker will never accept it: set it aside with a loss record."""
        ...

    def release(self, deliveries: Sequence[Delivery]) -> None:
        """The connection went before the ack: these become backlog."""
        ...
