"""Types in configuration files: a NodeId, a browse path, or the browse name of the type. Pure."""

import re
from typing import Annotated, Final

from pydantic import BeforeValidator

from gateway.sources.opcua.config.browse_path import PathStep, is_browse_path, parse_browse_path
from gateway.sources.opcua.config.node_text import node_text

_NODE_ID: Final = re.compile(r"(ns|nsu|[isgb])=")
_WITH_NAMESPACE: Final = re.compile(r"\d+:|\{")
_EXPECTED: Final = (
    "the name of a type such as MachineToolType, 4:MachineToolType or {URI}MachineToolType, a NodeId or a browse path"
)


def is_type_name(text: str) -> bool:
    """Return whether the text is a browse name rather than a NodeId or a browse path."""
    return not is_browse_path(text) and _NODE_ID.match(text) is None


def parse_type_name(text: str) -> tuple[PathStep, bool]:
    """Return a browse name, and whether it says a namespace; without one it is meant in any. Raises ValueError."""
    try:
        (step,) = parse_browse_path(f"/{text}")
    except ValueError:
        raise ValueError(f"{text!r} is not a type; expected {_EXPECTED}") from None
    return step, _WITH_NAMESPACE.match(text) is not None


def type_text(text: object) -> str:
    """Check a type; return it without spaces around it. Raises ValueError with what was expected."""
    if not isinstance(text, str):
        raise ValueError(f"{text!r} is not a type; expected {_EXPECTED}")
    text = text.strip()
    if not is_type_name(text):
        return node_text(text)
    parse_type_name(text)
    return text


TypeText = Annotated[str, BeforeValidator(type_text)]
