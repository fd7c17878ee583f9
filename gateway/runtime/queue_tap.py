"""A queue that shows what goes into it."""

from collections.abc import Callable

from gateway.core.messages import Message
from gateway.core.ports.outbox import MessageQueue


class Observed:
    """A `core.ports.MessageQueue` that shows each message to `observe` first."""

    def __init__(self, queue: MessageQueue, observe: Callable[[Message], None]) -> None:
        self._queue = queue
        self._observe = observe

    def put(self, message: Message) -> None:
        """Show it, then hand it on."""
        self._observe(message)
        self._queue.put(message)
