"""Events that only OPC UA servers lead to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, Literal

from gateway.core.events.event import UNSET, Concern, Count, Event, Positive, Unset


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification(Event):
    """What an OPC UA server notifies of, with the fields that every event of a server has (Part 5, 6.4.2)."""

    concerns: ClassVar[Concern] = "device"

    source: str | None
    """SourceName (Part 5, 6.4.2)."""
    severity: int
    """Severity as the server gives it, kept within 1 to 1000 (Part 5, 6.4.2)."""
    message: str | None
    """Message, in one of the languages of the server."""
    event_type: str | Unset | None = UNSET
    """NodeId of the event type."""
    event_id: str | Unset | None = UNSET
    """EventId, hexadecimal."""
    type_name: str | None = None
    """The browse name of event_type."""
    fields: Mapping[str, object] | None = None
    """The further fields that the configuration asks for, by their browse path."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConditionAlarm(Notification):
    """A condition of an OPC UA server that changed (with source)."""

    kind: ClassVar[str] = "alarm"

    condition: str | Unset | None = UNSET
    """ConditionName (Part 9, 5.5.2)."""
    condition_id: str | Unset | None = UNSET
    """NodeId of the condition: who acknowledges it names this and event_id (Part 9, 5.7.3)."""
    state: Literal["active", "cleared"]
    """ActiveState (Part 9, 5.8.2)."""
    acknowledged: bool | Unset | None = UNSET
    """AckedState (Part 9, 5.7.2); null for conditions that nobody acknowledges."""
    reason: str | None = None
    """Why it is cleared, where the server did not say so."""

    @property
    def condition_state(self) -> tuple[str, bool]:
        """Return source and name of the condition, with its NodeId where that is known, and whether it is active."""
        named = [str(part) for part in (self.source, self.condition, self.condition_id) if part and part is not UNSET]
        return " ".join(named), self.state == "active"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerEvent(Notification):
    """An event of an OPC UA server that is no condition."""

    kind: ClassVar[str] = "opcua_event"

    condition: str | Unset | None = UNSET
    """ConditionName, where an event that is no condition has one."""
    reason: str | None = None
    """Reserved: why the event is published."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryRead(Event):
    """Samples of a gap that were read back from the server."""

    kind: ClassVar[str] = "history"
    concerns: ClassVar[Concern] = "device"

    skipped_ms: Count | None = None
    """After a crash: so much may have been published by the run before, or not, and is not read back."""
    skipped_from: int | None = None
    """Where that begins; milliseconds since 1970, UTC."""
    too_old_ms: Count | None = None
    """So much lies further back than is read."""
    refused: Positive | None = None
    """Nodes whose history the server refuses to read at present."""
    reason: str | None = None
    """Why something is not read back, and what to do."""
    resumed: Literal[True] | None = None
    """An earlier run of the gateway has left it."""
    from_: int
    """Begin of the gap; milliseconds since 1970, UTC."""
    to: int
    """End of the gap; milliseconds since 1970, UTC."""
    samples: Count
    """Samples that were read back."""
    nodes: Count
    """Nodes that had samples."""
    truncated: Count
    """Nodes that had more than may be read."""
    without_history: Count
    """Nodes of which the server keeps no history."""

    @property
    def severity(self) -> int:
        """Return 1 where all of the gap is known, else 400."""
        return 400 if self.truncated or self.reason is not None else 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelChanged(Event):
    """Tags of a server that are others than at the start."""

    kind: ClassVar[str] = "model"
    concerns: ClassVar[Concern] = "device"
    severity: ClassVar[int] = 300

    reason: str
    """What has changed, and when it is taken."""
    added: Count
    """How many tags are new."""
    removed: Count
    """How many tags are gone."""
    altered: Count
    """How many tags are on another node, or have another unit or range."""
    names: Sequence[str]
    """Some of these tags."""
    cut: Literal[True] | None = None
    """The server has more tags than may be found."""
    taken: Literal[True] | None = None
    """They are taken at once; the event `reload` says how that ended."""


OPCUA_EVENTS: Final[tuple[type[Event], ...]] = (ConditionAlarm, ServerEvent, HistoryRead, ModelChanged)
