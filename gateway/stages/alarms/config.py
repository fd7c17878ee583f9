"""What a user can say of one alarm of a tag."""

import string
from datetime import datetime
from typing import Annotated, Any, Final, Self

from pydantic import BeforeValidator, Field, WithJsonSchema, field_validator, model_validator

from gateway.core.config_types import DURATION_SCHEMA, ConfigModel, DurationNs, Name, duration_ns
from gateway.core.events.process import AlarmKind
from gateway.stages.bands import Band, Number

LIMITS: Final = ("hihi", "hi", "lo", "lolo")
KINDS: Final[dict[AlarmKind, str]] = {
    "hihi": "hihi",
    "hi": "hi",
    "lo": "lo",
    "lolo": "lolo",
    "deviation": "deviation",
    "rate_of_change": "rate",
    "off_normal": "normal",
    "discrepancy": "discrepancy",
}
"""The key that makes an alarm one of each kind, in the order in which events of one time are published."""
PLACEHOLDERS: Final = ("device", "tag", "condition", "value", "unit", "limit")
MOST_ALARMS: Final = 20
AUTO: Final = -1
_MOST_TEXT: Final = 400
LEAST_OF_PAIRS_NS: Final = 100_000_000
_WORDS: Final = {True: 1.0, False: 0.0}


def _delay(value: Any) -> int:
    if value == "auto" or (isinstance(value, int) and value == AUTO):
        return AUTO
    number: int = duration_ns("0s", "1d").func(value)  # type: ignore[call-arg]
    return number


def _normal(value: Any) -> tuple[float, ...]:
    """Return the values of a discrete tag that are normal: one or several numbers, `true` or `false`."""
    if isinstance(value, tuple):
        return value
    items = value if isinstance(value, list) else [value]
    if not items or len(items) > MOST_ALARMS:
        raise ValueError(f"names {len(items)} values; expected one to {MOST_ALARMS}")
    found: list[float] = []
    for item in items:
        if isinstance(item, bool):
            found.append(_WORDS[item])
        elif isinstance(item, int | float) and abs(item) < float("inf"):
            found.append(float(item))
        else:
            raise ValueError(
                f"{item!r} is no value of a discrete tag; expected a number (of a label, its own), true or false"
            )
    return tuple(found)


def _time_ns(value: Any) -> int:
    """Return a time with its zone as ns since the epoch."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    try:
        time = value if isinstance(value, datetime) else datetime.fromisoformat(str(value).strip())
    except ValueError:
        time = datetime.min
    if time.tzinfo is None or time.year < 1971:
        raise ValueError(f"{str(value)!r} is not a time with its zone; expected for instance 2026-12-01T06:00:00Z")
    return int(time.timestamp()) * 1_000_000_000


Delay = Annotated[
    int,
    BeforeValidator(_delay),
    WithJsonSchema(
        {"anyOf": [{"const": "auto"}, {"type": "string", "pattern": r"^\s*\d+(\.\d+)?\s*(us|ms|s|m|min|h|d)\s*$"}]}
    ),
]
"""A delay in ns, `AUTO` where it follows from the alarm."""
OnDelay = Annotated[int, duration_ns("0s", "1d"), DURATION_SCHEMA]
Positive = Annotated[Number, Field(gt=0)]
Severity = Annotated[int, Field(ge=1, le=1000)]
Normal = Annotated[
    tuple[float, ...],
    BeforeValidator(_normal),
    WithJsonSchema({"anyOf": [{"type": ["number", "boolean"]}, {"type": "array", "minItems": 1}]}),
]
ShelvedUntil = Annotated[int, BeforeValidator(_time_ns), WithJsonSchema({"type": "string", "format": "date-time"})]


class AlarmConfig(ConfigModel):
    """One alarm of a tag, an entry of its list `alarms`. One of the first eight keys says which kind it is."""

    hihi: Number | None = None
    """Alarm when the value is at or above this, engineering units."""
    hi: Number | None = None
    """Alarm when the value is at or above this, engineering units."""
    lo: Number | None = None
    """Alarm when the value is at or below this, engineering units."""
    lolo: Number | None = None
    """Alarm when the value is at or below this, engineering units."""
    deviation: Positive | None = None
    """Alarm when the value is so far, or farther, from the tag `set_point`, engineering units."""
    rate: Positive | None = None
    """Alarm when the value changes so fast, or faster, up or down: units per second, from one sample to the next."""
    normal: Normal | None = None
    """Alarm when a discrete value is none of these: `true`, `false`, a number (of a label, its own), or a
    list of them."""
    discrepancy: Positive | None = None
    """Alarm when the value and that of the tag `other`, which measures the same, are so far apart, engineering units."""
    set_point: Name | None = None
    """Of `deviation`: the tag of the same device with the value that is wanted."""
    other: Name | None = None
    """Of `discrepancy`: the tag of the same device to compare with."""
    name: Name | None = None
    """Name of the condition in its events. Default: its kind. Needed where a tag has two alarms of one kind."""
    hysteresis: Band | None = None
    """See the tag's key of this name."""
    on_delay: OnDelay | None = None
    """See the tag's key of this name. Default of `deviation` and `discrepancy`: 5s, as two values are never read at once."""
    off_delay: Delay | None = None
    """See the tag's key of this name."""
    severity: Severity | None = None
    """How urgent, 1 to 1000 (OPC UA). Default: 800 for `hihi` and `lolo`, else 500."""
    message: str = ""
    """Text for people, with {device}, {tag}, {condition}, {value}, {unit} and {limit} in it."""
    shelved_until: ShelvedUntil | None = None
    """No events of this alarm until then: 2026-12-01T06:00:00Z. It is evaluated, and said afterwards if it is active."""
    shelved_for: DurationNs | None = None
    """The same for a span, which begins when the gateway first runs with this key."""
    out_of_service: bool = False
    """`true`: the alarm is not evaluated, for instance during maintenance."""

    @property
    def kind(self) -> AlarmKind:
        """Return its kind."""
        return next(kind for kind, key in KINDS.items() if getattr(self, key) is not None)

    @property
    def condition(self) -> str:
        """Return the name of the condition."""
        return self.name or self.kind

    @property
    def pair(self) -> str | None:
        """Return the name of the second tag, None for kinds of one tag."""
        return self.set_point if self.kind == "deviation" else self.other if self.kind == "discrepancy" else None

    @field_validator("message")
    @classmethod
    def _known_placeholders(cls, text: str) -> str:
        try:
            names = [
                (name, form, conversion) for _, name, form, conversion in string.Formatter().parse(text) if name is not None
            ]
        except ValueError as error:
            raise ValueError(f"{text!r} has an odd brace ({error}); expected {{{{ and }}}} for braces") from None
        wrong = next((name for name, form, conversion in names if name not in PLACEHOLDERS or form or conversion), None)
        if wrong is not None:
            raise ValueError(f"{{{wrong}}} is not known; expected {', '.join(f'{{{one}}}' for one in PLACEHOLDERS)}")
        if len(text) > _MOST_TEXT:
            raise ValueError(f"is {len(text)} characters long; expected at most {_MOST_TEXT}")
        return text

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        keys = [key for key in KINDS.values() if getattr(self, key) is not None]
        if len(keys) != 1:
            given = " and ".join(keys) or "none"
            raise ValueError(f"an alarm has one of {', '.join(KINDS.values())}; here: {given}")
        for key, kind in (("set_point", "deviation"), ("other", "discrepancy")):
            if (getattr(self, key) is None) == (self.kind == kind):
                raise ValueError(f"{kind} needs the key {key}, and no other alarm has it; expected the name of a tag")
        delays = [one for one in (self.on_delay, self.off_delay) if one is not None and one != AUTO]
        if self.pair is not None and any(one < LEAST_OF_PAIRS_NS for one in delays):
            raise ValueError(f"two values are never read at once: delays of {self.kind} are 100ms or longer")
        if self.shelved_until is not None and self.shelved_for is not None:
            raise ValueError("shelved_until and shelved_for exclude each other; expected one of them")
        return self
