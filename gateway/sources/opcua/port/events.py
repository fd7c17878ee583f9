"""What is asked of each event of a server, and what it answers (OPC UA Part 5, 6.4; Part 9, 5.5 to 5.8)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

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
"""Our name, the type that defines the field, and its browse path; the empty path is the condition's own NodeId."""
EVENT_TYPE: Final = 1
"""The place of the type in `SELECTED`."""


@dataclass(frozen=True, slots=True)
class EventFields:
    """One event as it came: the notifier's place in the configuration, and the selected fields as JSON can carry them."""

    notifier: int
    values: Sequence[object]


def is_model_change(event: EventFields) -> bool:
    """Of what came from a filter by `MODEL_TYPES`: some servers let more through a filter. Not another type of the standard;
    types of the server's own may be derived from these."""
    kind = str(event.values[EVENT_TYPE]) if len(event.values) > EVENT_TYPE else "i=0"
    return kind in MODEL_TYPES or not kind.startswith("i=")
