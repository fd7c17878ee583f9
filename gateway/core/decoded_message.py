"""Messages as a subscriber sees them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

MessageKind = Literal["window", "summary", "value", "event", "stats", "status", "raw", "tags", "birth", "death"]
"""Kind of a message of the contract. `tags` describes a device's tags; `birth` and `death` belong to layouts that have
sessions."""


class Malformed(ValueError):
    """A message that does not follow the contract. The text gives the reason, and may contain text from the network."""


class Foreign(Malformed):
    """A message on a topic that no gateway publishes."""


@dataclass(frozen=True, slots=True)
class DecodedMessage:
    """One message whose required keys are there and of the right type; nothing is known of other keys of its body."""

    topic: str
    """The sequence that its `seq` belongs to: its topic or, in a layout with a topic per tag, its stream."""
    gateway: str
    """Name of the gateway that published it."""
    device: str
    """Name of the device, empty for a message of the gateway itself."""
    kind: MessageKind
    """What it contains."""
    body: Mapping[str, Any]
    """The decoded payload."""
    run: str = ""
    """Name of the run of the gateway that published it."""
