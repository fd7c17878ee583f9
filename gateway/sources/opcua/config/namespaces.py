"""Whether a server has the namespaces that an address names. Pure."""

from collections.abc import Sequence

from gateway.sources.opcua.config.browse_path import is_browse_path, parse_browse_path
from gateway.sources.opcua.config.node_id import parse_node_id


def lacking(text: str, uris: Sequence[str]) -> str:
    """Return, as a sentence, which namespace of an address is not in the session's NamespaceArray, and which are.

    text: a NodeId or browse path as configured. Returns "" when it is there, or the server has no NamespaceArray.
    """
    if not uris:
        return ""
    if is_browse_path(text):
        named = [(step.namespace, step.uri) for step in parse_browse_path(text)]
    else:
        node = parse_node_id(text)
        named = [(node.namespace, node.uri)]
    unknown = [uri or str(index) for index, uri in named if (uri not in uris if uri else index >= len(uris))]
    there = ", ".join(f"{index} {uri}" for index, uri in enumerate(uris) if index)
    return f"the server has no namespace {unknown[0]}; it has {there or 'only 0'}" if unknown else ""
