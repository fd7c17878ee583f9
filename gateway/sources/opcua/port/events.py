"""The role `Events` of a session: events and alarm conditions (OPC UA Part 5, 6.4; Part 9, 5.5 to 5.8)."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from gateway.sources.opcua.config.events import OpcUaEvents

BASE_EVENT, CONDITION, ACKNOWLEDGEABLE, ALARM = "i=2041", "i=2782", "i=2881", "i=2915"
MODEL_TYPES: Final = ("i=2132", "i=2133", "i=2738")
"""BaseModelChangeEventType, GeneralModelChangeEventType, SemanticChangeEventType (Part 5, 6.4.31 to 6.4.33)."""

SELECTED: Final = (
    ("event_id", BASE_EVENT, "EventId"),
    ("event_type", BASE_EVENT, "EventType"),
    ("source", BASE_EVENT, "SourceName"),
    ("time", BASE_EVENT, "Time"),
    ("message", BASE_EVENT, "Message"),
    ("severity", BASE_EVENT, "Severity"),
    ("condition", CONDITION, "ConditionName"),
    ("retain", CONDITION, "Retain"),
    ("branch", CONDITION, "BranchId"),
    ("active", ALARM, "ActiveState/Id"),
    ("acknowledged", ACKNOWLEDGEABLE, "AckedState/Id"),
    ("condition_id", CONDITION, ""),
)
"""Select clauses: our name, the type that defines the field, its browse path. An empty path means the condition's NodeId."""
EVENT_TYPE: Final = 1
"""The place of the type in `SELECTED`."""


@dataclass(frozen=True, slots=True)
class EventFields:
    """One event as received."""

    notifier: int
    """The notifier's place in the configuration."""
    values: Sequence[object]
    """Fields in the order of `SELECTED`, then those of the configuration, as JSON can carry them."""


def is_model_change(event: EventFields) -> bool:
    """Return whether an event that passed a filter by `MODEL_TYPES` is one of them, or of a type of the server's own.

    Some servers let events of other standard types through the filter; the server's own types may be derived from these.
    """
    kind = str(event.values[EVENT_TYPE]) if len(event.values) > EVENT_TYPE else "i=0"
    return kind in MODEL_TYPES or not kind.startswith("i=")


class Events(Protocol):
    """Event monitored items. `subscribe` not twice at a time. Every call raises NotConnected, as those of `Values`.

    The events themselves come with `Values.next_notification`.
    """

    async def subscribe(self, wanted: Sequence[OpcUaEvents], *, model: bool) -> list[int]:
        """Monitor the events of these notifiers instead of those named before.

        model: also changes of the server's model (see `DataValues.model_changed`). Returns one status code per notifier in
        order, that of the model last.
        """
        ...

    async def refresh_conditions(self) -> bool:
        """Have the server repeat all retained conditions (ConditionRefresh, Part 9, 5.5.7). Returns False if it cannot."""
        ...

    async def type_names(self, types: Collection[str]) -> Mapping[str, str]:
        """Return the browse names of event types by NodeId; types without one are missing."""
        ...
