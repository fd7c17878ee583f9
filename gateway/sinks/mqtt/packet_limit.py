"""How large a payload a broker takes, learned from what it takes and what it does not. Pure."""

from typing import Final

_SHRINK: Final = 4
_LEAST_BYTES: Final = 512


class PacketLimit:
    """The largest payload that messages are cut for.

    MQTT 3.1.1 has no way to say how much a broker takes, and some do not say it in MQTT 5. A payload that was refused as too
    large, or with which alone in flight a connection ended, leads to a quarter of it: cutting costs little where the size
    was not the reason. It never goes below what has passed on the same connection.
    """

    def __init__(self, most_bytes: int) -> None:
        """most_bytes: what MQTT carries."""
        self.most_bytes = most_bytes
        self._largest_passed = 0

    def passed(self, size: int) -> None:
        """Record that a payload has arrived. size: its bytes."""
        self._largest_passed = max(self._largest_passed, size)

    def reconnected(self) -> None:
        """Forget what has passed: the broker may take less now."""
        self._largest_passed = 0

    def failed(self, size: int) -> None:
        """Record that the broker has not taken a payload."""
        if size > max(self._largest_passed, _LEAST_BYTES):
            self.most_bytes = min(self.most_bytes, max(self._largest_passed, size // _SHRINK, _LEAST_BYTES))
