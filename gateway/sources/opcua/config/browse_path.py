"""Browse paths as people write them: /Objects/2:Line/2:Speed. Pure.

After the text form of a RelativePath (OPC UA Part 4, A.2): `/` follows hierarchical references, `2:` is the namespace of the
name behind it, `&` takes the next character as it is. `.` is part of a name, for names with dots are many. In place of the
number a namespace's URI may stand in braces: /Objects/{http://acme.com/line}Speed.
"""

import re
from collections.abc import Sequence
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


def browse_path_text(steps: Sequence[PathStep]) -> str:
    """Return the path that `parse_browse_path` takes apart into these steps; "" where there is none such.

    A name without characters has none, nor has a last one that ends with a space, because such spaces are cut off.
    """
    text = "".join("/" + _prefix(step) + re.sub("[&/]", r"&\g<0>", step.name) for step in steps)
    try:
        is_sound = text == text.strip() and list(parse_browse_path(text)) == list(steps)
    except ValueError:
        return ""
    return text if is_sound else ""


def _prefix(step: PathStep) -> str:
    """Return what says the namespace of a step, with & where the name itself looks as if it did."""
    if step.uri:
        return f"{{{step.uri}}}"
    if step.namespace:
        return f"{step.namespace}:"
    return "&" if re.match(r"\d+:|\{", step.name) else ""
