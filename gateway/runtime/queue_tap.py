"""A queue that shows what goes into it."""

from gateway.core.messages import Message
from gateway.core.ports.layout import MessageObserver
from gateway.core.ports.outbox import MessageQueue


class QueueTap:
    """A `core.ports.outbox.MessageQueue` that shows each message to an observer first."""

    def __init__(self, queue: MessageQueue, observer: MessageObserver) -> None:
        self._queue = queue
        self._observer = observer

    def put(self, message: Message) -> None:
        """Show a message, then hand it on."""
        self._observer.observe(message)
        self._queue.put(message)
