"""Messages that have come and wait for whoever receives them, limited in number and bytes."""

from collections import deque
from typing import Final

from gateway.sinks.mqtt.types import ReceivedMessage

_MOST_MESSAGES: Final = 10_000


class ReceiveQueue:
    """Messages in the order of their arrival. It takes more than its limits: who fills it looks at `is_full` and stops."""

    def __init__(self, most_bytes: int) -> None:
        """most_bytes: of memory, about."""
        self._messages: deque[ReceivedMessage] = deque()
        self._bytes = 0
        self._most_bytes = most_bytes

    def __len__(self) -> int:
        return len(self._messages)

    @property
    def is_full(self) -> bool:
        """Return whether nothing more is to be added."""
        return len(self._messages) >= _MOST_MESSAGES or self._bytes >= self._most_bytes

    @property
    def is_half_empty(self) -> bool:
        """Return whether half of the room is free."""
        return len(self._messages) <= _MOST_MESSAGES // 2 and self._bytes <= self._most_bytes // 2

    def push(self, message: ReceivedMessage) -> None:
        """Add a message."""
        self._messages.append(message)
        self._bytes += message.memory_bytes

    def pop(self) -> ReceivedMessage:
        """Remove the oldest message and return it. Raises IndexError."""
        message = self._messages.popleft()
        self._bytes -= message.memory_bytes
        return message
