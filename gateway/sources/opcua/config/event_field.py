"""Fields of events in the configuration. Pure.

Examples: ActiveState/Id, 2:Batch, {http://acme.com/line}Batch, nsu=http://acme.com/line;Batch.
"""

import re
from typing import Final

from gateway.sources.opcua.config.browse_path import PathStep

_STEP: Final = re.compile(
    r"(?:(?P<namespace>\d{1,5}):|\{(?P<braced>[^{};]+)\}|nsu=(?P<uri>[^{};]+);)(?P<named>[^/]+)|(?!nsu=)(?P<plain>[^/:{}]+)",
    re.ASCII,
)
_EXPECTED: Final = "expected for instance SourceNode, 2:Batch, ActiveState/Id or {http://acme.com/line}Batch"


def parse_event_field(text: str) -> tuple[PathStep, ...]:
    """Parse a browse path below an event type. Raises ValueError that says what was expected."""
    steps: list[PathStep] = []
    at = 0
    while not steps or at < len(text):
        match = _STEP.match(text, at + 1 if steps else at)
        if match is None or (steps and text[at] != "/"):
            raise ValueError(f"{text!r} is no field of an event; {_EXPECTED}")
        namespace, name = int(match["namespace"] or 0), match["named"] or match["plain"]
        if namespace >= 2**16 or not name.strip():
            raise ValueError(f"{text!r} is no field of an event; {_EXPECTED}")
        steps.append(PathStep(namespace, match["braced"] or match["uri"] or "", name))
        at = match.end()
    return tuple(steps)
