"""Messages as a subscriber sees them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["window", "summary", "value", "event", "stats", "status", "raw", "birth", "death"]
"""Of a message of the contract; `birth` and `death` are of layouts that have sessions."""


class Malformed(ValueError):
    """Not a message of the contract. The text says why; it may hold what came from the network."""


class Foreign(Malformed):
    """On a topic of somebody else."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """One message: its required keys are there and of the right type, everything else in its body is unknown."""

    topic: str
    """What its `seq` counts: where it is or, in a layout with a topic per tag, its stream."""
    gateway: str
    device: str
    """Empty where the gateway itself speaks."""
    kind: Kind
    body: Mapping[str, Any]
    run: str = ""
    """What names the run of the gateway that it is of."""
