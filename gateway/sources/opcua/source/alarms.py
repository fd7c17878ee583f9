"""A server's events and alarm conditions as events of ours (OPC UA Part 5, 6.4; Part 9, 5.5 to 5.8). Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

from gateway.core.events.event import Event
from gateway.core.foreign_text import LONGEST_TEXT, clean
from gateway.sources.opcua.config.events import OpcUaEvents
from gateway.sources.opcua.port.events import SELECTED, EventFields
from gateway.sources.opcua.source.events import ConditionAlarm, ServerEvent

REFRESH_START, REFRESH_END, REFRESH_REQUIRED, OVERFLOW = "i=2787", "i=2788", "i=2789", "i=3035"
MOST_CONDITIONS: Final = 10_000

_NAMES: Final = tuple(name for name, _, _ in SELECTED)


@dataclass(frozen=True, slots=True)
class _Condition:
    """What was published of a condition last."""

    active: bool
    signature: tuple[object, ...]
    """What makes another event of it news."""
    event: ConditionAlarm


@dataclass(slots=True)
class Alarms:
    """Turns event fields into events, and knows which conditions are active on the server.

    A condition that a refresh repeats is published once. One that was active before a connection was lost and is missing in
    the refresh after it has ended meanwhile, and is published as cleared.
    """

    device: int
    """Row among the table's devices."""
    wanted: Sequence[OpcUaEvents]
    """The configured notifiers."""
    tolerance_ns: int
    """An event's time may be so far in the future."""
    needs_refresh: bool = False
    """The server asks for a refresh of all conditions (RefreshRequiredEvent, Part 9, 5.11.4)."""
    lost: bool = False
    """The server reports that it has dropped events (EventQueueOverflowEvent, Part 4, 7.22.3)."""
    _known: dict[str, _Condition] = field(default_factory=dict)
    _refreshed: set[str] | None = None
    """Conditions of the refresh that is under way."""

    def events_of(
        self, given: EventFields, received_ns: int, clock_is_right: bool = True, names: Mapping[str, str] | None = None
    ) -> list[Event]:
        """Return what to publish of an event. clock_is_right: the server's time may be believed. names: of event types."""
        known: dict[str, Any] = dict.fromkeys(_NAMES)
        known.update(zip(_NAMES, given.values, strict=False))
        kind = known["event_type"]
        if kind == REFRESH_START:
            self._refreshed = set()
        elif kind == REFRESH_END:
            return self._end_refresh(received_ns)
        elif kind == REFRESH_REQUIRED:
            self.needs_refresh = True
        elif kind == OVERFLOW:
            self.lost = True
        elif not _is_branch(known["branch"]):
            wanted = self.wanted[given.notifier]
            values = dict(zip(wanted.fields, given.values[len(SELECTED) :], strict=False))
            time_ns = _time(known["time"], received_ns, self.tolerance_ns) if clock_is_right else received_ns
            known["type_name"] = (names or {}).get(str(kind))
            return self._event(known, values, time_ns, wanted.severity)
        return []

    def _event(self, known: Mapping[str, Any], values: Mapping[str, object], time_ns: int, least: int) -> list[Event]:
        severity = _severity(known["severity"])
        fields: dict[str, Any] = {
            "time_ns": time_ns,
            "device": self.device,
            "source": _text(known["source"]),
            "severity": severity,
            "message": _text(known["message"]),
            "event_type": known["event_type"],
            "event_id": known["event_id"],
            "type_name": _text(known["type_name"]) or None,
            "fields": values or None,
        }
        if known["condition"] is not None:
            fields["condition"] = _text(known["condition"])
        if known["active"] is None:
            return [ServerEvent(**fields)] if severity >= least else []
        active = bool(known["active"])
        if known["condition_id"] is not None:
            fields["condition_id"] = known["condition_id"]
        alarm = ConditionAlarm(**fields, state="active" if active else "cleared", acknowledged=known["acknowledged"])
        return self._condition(known, alarm, active, severity >= least)

    def _condition(self, known: Mapping[str, Any], event: ConditionAlarm, active: bool, is_wanted: bool) -> list[Event]:
        """Return the event where it is news.

        A condition that was published goes on to be published below the wanted severity until it ends: many end with a low
        one.
        """
        name = str(known["condition_id"] or f"{known['source']}/{known['condition']}")
        if self._refreshed is not None:
            self._refreshed.add(name)
        signature = (active, known["acknowledged"], event.severity, event.message, known["time"])
        before = self._known.pop(name, None)
        if not (is_wanted or (before is not None and before.active)):
            return []
        if active or known["retain"]:
            self._known[name] = _Condition(active, signature, event)  # the newest one stands last
            if len(self._known) > MOST_CONDITIONS:
                del self._known[next(iter(self._known))]
        return [] if before is not None and before.signature == signature else [event]

    def _end_refresh(self, now_ns: int) -> list[Event]:
        refreshed, self._refreshed = self._refreshed, None
        if refreshed is None:
            return []
        gone = [name for name in self._known if name not in refreshed]
        ended = [self._known.pop(name) for name in gone]
        return [
            replace(state.event, time_ns=now_ns, state="cleared", reason="ended while away")
            for state in ended
            if state.active
        ]

    @property
    def active(self) -> int:
        """Return how many conditions are active on the server, as far as is known."""
        return sum(state.active for state in self._known.values())


def _is_branch(branch: object) -> bool:
    """Return whether it is an earlier state that somebody still has to acknowledge, not the present one (Part 9, 5.5.2)."""
    return branch not in (None, "i=0")


def _text(value: object) -> Any:
    """Return a text for people without what a terminal or page would obey; whatever is no text stays as it is."""
    return clean(value, LONGEST_TEXT) if isinstance(value, str) else value


def _severity(value: object) -> int:
    """Return 1 to 1000 (Part 5, 6.4.2), whatever the server sends."""
    return min(1000, max(1, value)) if isinstance(value, int) else 1


def _time(value: object, received_ns: int, tolerance_ns: int) -> int:
    """Return the event's own time, or ours where it has none or lies in the future by more than the tolerance."""
    try:
        time_ns = round(datetime.fromisoformat(str(value)).replace(tzinfo=UTC).timestamp() * 1e6) * 1000
    except ValueError:
        return received_ns
    if time_ns <= 0 or time_ns > received_ns + tolerance_ns:
        return received_ns
    return min(time_ns, received_ns)
