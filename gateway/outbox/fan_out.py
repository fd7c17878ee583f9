"""Hands each message to the queues of all sinks that want it."""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from gateway.core.messages import Message
from gateway.core.ports.outbox import MessageQueue

_MOST_TOPICS: Final = 100_000


class Branch(NamedTuple):
    """The way of one sink."""

    queue: MessageQueue
    """Takes its messages."""
    streams: frozenset[str]
    """The streams that it wants; empty for all."""


class FanOut:
    """A `core.ports.outbox.MessageQueue` over those of several sinks, which share the message itself."""

    def __init__(self, branches: Sequence[Branch], stream_of: Callable[[str], str]) -> None:
        """stream_of: returns the stream of a message by its topic."""
        self._branches = branches
        self._stream_of = stream_of
        self._by_topic: dict[str, tuple[MessageQueue, ...]] = {}

    def put(self, message: Message) -> None:
        """Take over a message for every sink that wants its stream."""
        queues = self._by_topic.get(message.topic)
        if queues is None:
            queues = self._look_up(message.topic)
        for queue in queues:
            queue.put(message)

    def _look_up(self, topic: str) -> tuple[MessageQueue, ...]:
        stream = self._stream_of(topic)
        queues = tuple(one.queue for one in self._branches if not one.streams or stream in one.streams)
        if len(self._by_topic) >= _MOST_TOPICS:
            self._by_topic.clear()
        self._by_topic[topic] = queues
        return queues
