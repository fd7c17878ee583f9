"""Small objects where there are few: device states, messages, losses."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Literal


class Lane(IntEnum):
    """What a message is worth: the order of sending, and (from the end) the order of dropping."""

    EVENT = 0
    SUMMARY = 1
    WINDOW = 2


@dataclass(frozen=True, slots=True)
class Message:
    """One encoded message on its way to the broker. (boot, topic, seq) names it for ever.

    start_ms, end_ms: the time span it speaks of, UTC. payload: final but for the `hist` mark, which is false. past: it tells
    what a device remembers of the past, so it is backlog from the beginning, also over the connection it was made on.
    """

    topic: str
    boot: str
    seq: int
    lane: Lane
    start_ms: int
    end_ms: int
    payload: bytes
    past: bool = False


@dataclass(frozen=True, slots=True)
class Loss:
    """Messages of one (boot, topic) that will never arrive. `count` of them, numbered within first_seq..last_seq.

    windows, from_seq: where merged windows are among them, how many messages they stood for, themselves included, and the
    first number of these; else 0. All but `count` of them had been declared `thinned` before, so `count` is what adds up.
    cause: `max_bytes`, `max_age`, `disk_free`, `memory`, `damaged`, `refused`; `thinned` where what they said arrives merged
    into longer windows; detail: what a person should know.
    """

    topic: str
    boot: str
    first_seq: int
    last_seq: int
    count: int
    start_ms: int
    end_ms: int
    cause: str
    detail: str = ""
    windows: int = 0
    from_seq: int = 0


@dataclass(frozen=True, slots=True)
class DeviceState:
    """What the gateway knows of a device as a whole; `reason` is a sentence for people, empty when ok."""

    device: int
    state: Literal["ok", "degraded", "down"]
    reason: str = ""
