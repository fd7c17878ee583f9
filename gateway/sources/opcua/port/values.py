"""What is asked of a server's values, and what it answers."""

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.sources.opcua.codec.columns import ValueColumns
from gateway.sources.opcua.config.item_filter import Filter
from gateway.sources.opcua.port.events import EventFields


@dataclass(frozen=True, slots=True)
class Item:
    """One node to watch or read. row: its place among the device's items, sent to the server as client handle.

    node: a NodeId or browse path as configured. index: the part of an array or text that is wanted (Part 4, 7.27).
    publishing_ns: how often its subscription publishes, or how often it is polled.
    """

    row: int
    node: str
    sampling_ns: int
    queue_size: int
    index: str = ""
    publishing_ns: int = 0
    filter: Filter = Filter()  # noqa: RUF009 - an immutable tuple


@dataclass(frozen=True, slots=True, eq=False)
class DataValues:
    """One answer or notification. received_ns: the gateway's wall time at receipt. server_clock_ns: the server's wall time
    when it answered, 0 where it does not say. lost: notifications that are missing before this one. events: what else came
    with it. refused: the status with which the service was refused as a whole, which says nothing of single nodes.
    model_changed: the server says that its nodes, or what their values mean, have changed. again: it had to be asked for
    again, so it is older than what was lost since."""

    columns: ValueColumns
    received_ns: int
    server_clock_ns: int
    lost: int = 0
    events: Sequence[EventFields] = ()
    refused: int = 0
    model_changed: bool = False
    again: bool = False

    def __len__(self) -> int:
        return len(self.columns)
