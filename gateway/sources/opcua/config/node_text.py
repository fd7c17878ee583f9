"""Nodes in configuration files: a NodeId or a browse path. Pure."""

from typing import Annotated

from pydantic import BeforeValidator

from gateway.sources.opcua.config.browse_path import is_browse_path, parse_browse_path
from gateway.sources.opcua.config.node_id import parse_node_id


def node_text(text: object) -> str:
    """Check a NodeId or browse path; return it without spaces around it. Raises ValueError with what was expected."""
    text = text.strip() if isinstance(text, str) else text
    if isinstance(text, str) and is_browse_path(text):
        parse_browse_path(text)
    else:
        parse_node_id(text)
    return str(text)


NodeText = Annotated[str, BeforeValidator(node_text)]
