"""Messages, losses of messages, and states of devices."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

from gateway.core.foreign_text import LONGEST_TEXT, clean


class Lane(IntEnum):
    """The priority of a message: lower lanes are sent first, higher ones are dropped first."""

    EVENT = 0
    SUMMARY = 1
    WINDOW = 2


@dataclass(frozen=True, slots=True)
class Message:
    """One encoded message on its way to the subscribers. (boot, topic, seq) identifies it for ever."""

    topic: str
    """Where it is published in layout device."""
    boot: str
    """The run of the gateway that made it."""
    seq: int
    """Its number among the messages of this boot and topic, from 1."""
    lane: Lane
    """Its priority."""
    start_ms: int
    """Begin of the time that it describes, ms since the epoch, UTC."""
    end_ms: int
    """End of that time, ms since the epoch, UTC."""
    payload: bytes
    """Final but for the mark `hist`, which is false."""
    past: bool = False
    """It was read from the history of a device, so it is backlog from the beginning, also on the connection that was up
    when it was made."""


@dataclass(frozen=True, slots=True)
class Loss:
    """Messages of one (boot, topic) that will never arrive."""

    topic: str
    """Where they would have been published."""
    boot: str
    """The run of the gateway that made them."""
    first_seq: int
    """No lost message has a smaller number."""
    last_seq: int
    """No lost message has a greater number."""
    count: int
    """How many are lost of these numbers."""
    start_ms: int
    """Begin of the time that they describe, ms since the epoch, UTC."""
    end_ms: int
    """End of that time, ms since the epoch, UTC."""
    cause: str
    """`max_bytes`, `max_age`, `disk_free`, `memory`, `damaged`, `refused`; `thinned` where their content
    arrives merged into longer windows."""
    detail: str = ""
    """More about the cause, for people."""
    windows: int = 0
    """Where merged windows are among them, how many messages these stood for, themselves included; else 0. All but `count`
    of them had been declared `thinned` before, so `count` is what adds up."""
    from_seq: int = 0
    """The first number of these messages, or 0."""


@dataclass(frozen=True, slots=True)
class DeviceState:
    """The state of a device as a whole."""

    device: int
    """Its table row."""
    state: Literal["ok", "degraded", "down"]
    """`degraded`: connected, but some of its tags are not read."""
    reason: str = ""
    """A sentence for people, empty when ok; cleaned, because devices have a say in it."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "reason", clean(self.reason, LONGEST_TEXT))
