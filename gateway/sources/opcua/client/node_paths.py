"""The address under which a node that was found is looked for again, in this session and in every later one.

Many servers number their nodes in the order in which these are created, so after a restart the same NodeId may be another
node. Such nodes are addressed by their browse path, which each session resolves anew. An identifier that is a text or a GUID
names its node itself.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import quote

from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds

from gateway.sources.opcua.client.services import Services, local
from gateway.sources.opcua.config.browse_path import PathStep, browse_path_text, is_browse_path, parse_browse_path

_ROOT: Final = ua.NodeId(ObjectIds.RootFolder, 0)  # type: ignore[arg-type]  # asyncua declares its own integers
_DEEPEST: Final = 32


def is_numbered(node: ua.NodeId) -> bool:
    """Return whether the identifier says nothing of the node, and the standard has not fixed it."""
    return node.NamespaceIndex != 0 and isinstance(node.Identifier, int | bytes)


def step_of(name: ua.QualifiedName, uris: Sequence[str]) -> PathStep:
    """Return a browse name as a step of a path, its namespace by URI where it has one."""
    index = int(name.NamespaceIndex)
    uri = uris[index] if 0 < index < len(uris) else ""
    if "{" in uri or "}" in uri:  # a path cannot say it
        uri = ""
    return PathStep(0 if uri else index, uri, name.Name or "")


def shared_names(references: Sequence[Any]) -> set[tuple[int, str]]:
    """Return the browse names that several of these nodes have: a path by them leads to no single one."""
    names = Counter((one.BrowseName.NamespaceIndex, one.BrowseName.Name) for one in references)
    nodes: dict[tuple[int, str], set[ua.NodeId | None]] = defaultdict(set)
    for one in references if len(names) < len(references) else ():
        name = (one.BrowseName.NamespaceIndex, one.BrowseName.Name)
        if names[name] > 1:
            nodes[name].add(local(one.NodeId))
    return {name for name, some in nodes.items() if len(some) > 1}


def address_text(node: ua.NodeId, uris: Sequence[str], steps: Sequence[PathStep] | None) -> str:
    """Return a node as it stands in a tag file: its browse path, nsu=URI;s=..., or ns=2;s=... without a URI.

    steps: its path from the root folder, None where no path leads to it alone.
    """
    if steps and is_numbered(node) and (path := browse_path_text(steps)):
        return path
    text: str = node.to_string()
    index = node.NamespaceIndex
    if not 0 < index < len(uris) or not uris[index]:
        return text
    return f"nsu={quote(uris[index], safe=':/?#[]@!$&()*+,=-._~')};{text.partition(';')[2]}"


async def path_from_root(services: Services, address: str, node: ua.NodeId, uris: Sequence[str]) -> list[PathStep] | None:
    """Return the path from the root folder to a node that is configured by `address`; None where there is none.

    Raises NotConnected.
    """
    if is_browse_path(address):
        return list(parse_browse_path(address))
    steps: list[PathStep] = []
    (name,) = await services.attributes([(node, AttributeIds.BrowseName)])
    while node != _ROOT and len(steps) < _DEEPEST:
        if not isinstance(name, ua.QualifiedName):
            return None
        steps.insert(0, step_of(name, uris))
        (above,) = await services.references([node], ObjectIds.HierarchicalReferences, inverse=True)
        parents = [(parent, one.BrowseName) for one in above if (parent := local(one.NodeId)) is not None]
        if not parents:
            return None
        node, name = parents[0]
    return steps if node == _ROOT else None
