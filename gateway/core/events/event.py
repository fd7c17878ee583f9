"""The base of all events, and the annotations that describe their fields to the JSON Schema."""

from dataclasses import dataclass, fields
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal

LogLevel = Literal["info", "warning", "error"]
Concern = Literal["tag", "device", "device or gateway", "gateway"]


class Unset(Enum):
    """The value of an optional field that may be null and is left out of the payload."""

    UNSET = "unset"


UNSET: Final = Unset.UNSET


@dataclass(frozen=True, slots=True)
class Minimum:
    """The smallest value of an integer field, for `Annotated`."""

    value: int
    """That value."""


@dataclass(frozen=True, slots=True)
class Definition:
    """The definition of the message schema that a field has as its type, for `Annotated`."""

    name: str
    """Its key under `$defs`."""


@dataclass(frozen=True, slots=True)
class NullIfNotFinite:
    """A float field that is null in the payload when it is infinite or NaN (RFC 8259, 6), for `Annotated`."""


Count = Annotated[int, Minimum(0)]
"""An integer from 0."""
Positive = Annotated[int, Minimum(1)]
"""An integer from 1."""
Boot = Annotated[str, Definition("boot")]
"""The name of one run of the gateway."""
Measured = Annotated[float, NullIfNotFinite()]
"""A value from the field, or computed from one: not always finite."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something worth publishing at once. Each subclass is one kind, or one form of a kind that has several.

    The fields that a subclass adds are the payload, in the order of their definition and under their own names (without the
    underscore at the end where the name is a keyword of Python). A field with a default is optional: it is left out of the
    payload while it equals its default. `severity` is always in the payload; where it is no field, it stands last.
    """

    kind: ClassVar[str]
    """The `kind` of the payload."""
    concerns: ClassVar[Concern] = "gateway"
    """What the payload names: the tag, the device, the device where there is one, or neither."""
    log_name: ClassVar[str] = "pipeline"
    """The logger of the journal entry; `security` is the category of security-relevant ones."""
    together: ClassVar[tuple[str, ...]] = ()
    """Optional fields that are present together or not at all."""

    time_ns: int
    """When it happened, ns since the epoch, UTC."""
    device: int | None = None
    """Table row of the device, None for an event of the gateway itself."""
    tag: int | None = None
    """Id of the tag, None for an event of a device or of the gateway."""

    if TYPE_CHECKING:  # at run time a field, a class variable or a property of the subclass: a field must not find a default

        @property
        def severity(self) -> int:
            """Return how severe the event is, 1 (information) to 1000 (most urgent)."""

    @property
    def log_level(self) -> LogLevel | None:
        """Return the level in the journal, None for events that are only published."""
        return None

    @property
    def condition_state(self) -> tuple[str, bool] | None:
        """Return the condition that begins, goes on or ends: its name within its tag or device, and whether it is active.

        None for events that are no conditions.
        """
        return None

    @property
    def log_text(self) -> str:
        """Return the text in the journal."""
        return self.kind

    def log_fields(self) -> dict[str, object]:
        """Return the fields of the journal entry beside the text."""
        return {name: value for name, value in self.payload().items() if name != "severity"}

    def payload(self) -> dict[str, object]:
        """Return the fields of the payload in their order, `severity` among them."""
        return {
            name: value
            for attribute, name, default in _fields_of(type(self))
            if (value := getattr(self, attribute)) is not default
        }


def _fields_of(event_type: type[Event]) -> tuple[tuple[str, str, object], ...]:
    return _payload_fields(event_type)  # type: ignore[arg-type]  # mypy asks the instances of a type whether it is hashable


_OWN: Final = frozenset(("time_ns", "device", "tag"))
_REQUIRED: Final = object()


@cache
def _payload_fields(event_type: Any) -> tuple[tuple[str, str, object], ...]:
    """Return attribute, name in the payload and default (`_REQUIRED` without one) of each field of the payload."""
    known = [
        (field.name, field.name.removesuffix("_"), field.default if field.default in (None, UNSET) else _REQUIRED)
        for field in fields(event_type)
        if field.name not in _OWN
    ]
    has_severity = any(name == "severity" for name, _, _ in known)
    return (*known, *(() if has_severity else (("severity", "severity", _REQUIRED),)))


def optional_fields(event_type: type[Event]) -> dict[str, bool]:
    """Return the names of the fields of the payload in their order, and whether each is optional."""
    return {attribute: default is not _REQUIRED for attribute, _, default in _fields_of(event_type)}
