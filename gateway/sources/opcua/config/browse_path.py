"""Browse paths as people write them: /Objects/2:Line/2:Speed. Pure.

After the text form of a RelativePath (OPC UA Part 4, A.2): `/` follows hierarchical references, `2:` is the namespace of the
name behind it, `&` takes the next character as it is. `.` is part of a name, for names with dots are many. In place of the
number a namespace's URI may stand in braces: /Objects/{http://acme.com/line}Speed.
"""

import re
from typing import Final, NamedTuple

_STEP = re.compile(
    r"(?:(?P<namespace>\d{1,9}):|\{(?P<uri>[^{}]+)\}|(?!\d+:|\{))(?P<name>(?:[^&/]|&.)+)", re.ASCII | re.DOTALL
)
_EXPECTED: Final = "a browse path such as /Objects/2:Line/2:Speed or /Objects/{http://acme.com/line}Speed"
_MOST_STEPS: Final = 64


class PathStep(NamedTuple):
    """A browse name: its namespace's number, or its URI where that was given; and the name."""

    namespace: int
    uri: str
    name: str


def is_browse_path(text: str) -> bool:
    """Whether the text wants to be a browse path rather than a NodeId."""
    return text.startswith("/")


def parse_browse_path(text: str) -> tuple[PathStep, ...]:
    """Take a path from the root folder apart. Raises ValueError that names what is wrong and what was expected."""
    steps, at = [], 0
    while at < len(text):
        match = _STEP.match(text, at + 1) if text[at] == "/" else None
        if match is None:
            raise ValueError(f"{text!r} is wrong from {text[at:]!r} on; expected {_EXPECTED}")
        namespace = int(match["namespace"] or 0)
        if namespace >= 2**16:
            raise ValueError(f"{text!r}: the namespace {namespace} is out of range; expected a number from 0 to 65535")
        steps.append(PathStep(namespace, match["uri"] or "", re.sub(r"&(.)", r"\1", match["name"], flags=re.DOTALL)))
        at = match.end()
    if not 1 <= len(steps) <= _MOST_STEPS:
        raise ValueError(f"{text!r} has {len(steps)} steps; expected {_EXPECTED}")
    return tuple(steps)
