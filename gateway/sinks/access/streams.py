"""What the topic of a stored message says: the device and the stream."""

from typing import Final, NamedTuple

_VERSION: Final = "v1"


class Place(NamedTuple):
    """Where a message belongs."""

    device: str
    """Name of the device; empty for the gateway's own messages."""
    stream: str
    """`window`, `summary`, `value`, `event` or `stats`."""


def place_of(topic: str, gateway: str) -> Place:
    """Return what a topic of the contract, `ROOT/v1/GATEWAY/[DEVICE/]STREAM`, says."""
    levels = topic.split("/")
    stream = levels[-1]
    if len(levels) < 4 or (levels[-3] == _VERSION and levels[-2] == gateway):
        return Place("", stream)
    return Place(levels[-2], stream)
