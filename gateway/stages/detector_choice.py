"""Which detectors watch a tag, as its key `anomaly` says."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import PlainValidator, WithJsonSchema

from gateway.stages.detectors.ewma import EwmaPlugin, z_score
from gateway.stages.detectors.own_range.detector import OwnRangePlugin

_MOST: Final = 20
_OFF: Final = ("off", "no", "false")
_ON: Final = ("on", "yes", "true")
_EXPECTED: Final = "on, off, a z-score from 1, or a list such as [{ewma: {threshold: 6}}]"


@dataclass(frozen=True, slots=True)
class DetectorChoice:
    """One detector of a tag."""

    name: str
    """Its name in the list of detectors."""
    settings: tuple[tuple[str, str | float | bool], ...] = ()
    """What the tag says of it, by key; checked against the detector's own model once all detectors are known."""


def _choices(value: Any) -> tuple[DetectorChoice, ...]:
    """Return the detectors that a value names: `on` for `own_range`, `off`, a z-score for `ewma`, or a list."""
    if isinstance(value, tuple) and all(isinstance(one, DetectorChoice) for one in value):
        return value
    if value is False or value == math.inf or (isinstance(value, str) and value.strip().lower() in _OFF):
        return ()
    if value is True or (isinstance(value, str) and value.strip().lower() in _ON):
        return (DetectorChoice(OwnRangePlugin.name),)
    if isinstance(value, str) and (value.strip()[:1].isalpha() or value.strip()[:1] in ("[", "{")):
        raise ValueError(
            f"{value!r} is no z-score; expected on, off or a number from 1; a list of detectors stands in YAML, without "
            "quotes and not in a cell: [{ewma: {threshold: 6}}]"
        )
    if not isinstance(value, list):
        return (DetectorChoice(EwmaPlugin.name, (("threshold", z_score(value)),)),)
    if not value:
        raise ValueError(f"is an empty list; expected {_EXPECTED}")
    if len(value) > _MOST:
        raise ValueError(f"lists {len(value)} detectors; expected at most {_MOST}")
    choices = tuple(_choice(one) for one in value)
    for name, count in Counter(one.name for one in choices).items():
        if count > 1:
            raise ValueError(f"{name} is listed twice; expected each detector once")
    return choices


def _choice(item: Any) -> DetectorChoice:
    """Return what an item of the list names: a detector, alone or with its settings below it."""
    if isinstance(item, str):
        return DetectorChoice(item)
    if not isinstance(item, Mapping) or len(item) != 1:
        raise ValueError("an entry is not a detector; expected a name, or a name with settings: - ewma: {threshold: 6}")
    ((name, settings),) = item.items()
    given = {} if settings is None else settings
    if not isinstance(name, str) or not isinstance(given, Mapping):
        raise ValueError(f"what stands below {name!r} is not a mapping; expected settings, each as key: value")
    for key, one in given.items():
        if not isinstance(one, str | int | float):
            raise ValueError(f"{name}.{key} is neither a number nor a text; expected one value")
    return DetectorChoice(name, tuple((str(key), one) for key, one in given.items()))


Detectors = Annotated[
    tuple[DetectorChoice, ...],
    PlainValidator(_choices),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "minimum": 1},
                {"enum": ["on", "off", True, False]},
                {
                    "type": "array",
                    "minItems": 1,
                    "items": {
                        "anyOf": [
                            {"type": "string"},
                            {"type": "object", "minProperties": 1, "maxProperties": 1, "additionalProperties": True},
                        ]
                    },
                },
            ]
        }
    ),
]
"""The detectors of a tag, none for `off`."""
