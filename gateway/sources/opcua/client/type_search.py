"""The types of objects and variables that a server knows, found by their browse names."""

from collections.abc import Mapping, Sequence
from typing import Final

from asyncua import ua
from asyncua.ua.object_ids import ObjectIds

from gateway.core.nearest import nearest
from gateway.sources.opcua.client.addresses import Addresses
from gateway.sources.opcua.client.node_paths import step_of
from gateway.sources.opcua.client.services import Services, local
from gateway.sources.opcua.config.browse_path import PathStep
from gateway.sources.opcua.config.type_text import parse_type_name
from gateway.sources.opcua.port.errors import NotFound
from gateway.sources.opcua.status.explanation import explained

MOST_TYPES: Final = 50_000
_ROOTS: Final = tuple(ua.NodeId(one, 0) for one in (ObjectIds.BaseObjectType, ObjectIds.BaseVariableType))  # type: ignore[arg-type]
"""asyncua declares its own integers."""


async def subtypes_of(services: Services, roots: Sequence[ua.NodeId]) -> dict[ua.NodeId, ua.QualifiedName | None]:
    """Return these types and all below them, with the browse names of the latter.

    Raises NotFound where the server refuses, because a part must not be taken for the whole; NotConnected.
    """
    types: dict[ua.NodeId, ua.QualifiedName | None] = dict.fromkeys(roots)
    level = list(roots)
    while level and len(types) < MOST_TYPES:
        some = await services.browse(level, ObjectIds.HasSubtype)
        for node, one in zip(level, some, strict=True):
            if isinstance(one, int):
                raise NotFound(f"the subtypes of {node.to_string()} cannot be browsed: {explained(one)}")
        below = [(local(one.NodeId), one.BrowseName) for found in some if isinstance(found, list) for one in found]
        new = {node: name for node, name in below if node is not None and node not in types}
        types |= new
        level = list(new)
    return types


async def type_by_name(services: Services, addresses: Addresses, text: str) -> ua.NodeId:
    """Return the type of objects or variables that has a browse name.

    Raises NotFound where there is none or more than one, with the names that may be meant; NotConnected.
    """
    wanted, has_namespace = parse_type_name(text)
    types = await subtypes_of(services, _ROOTS)
    names = {node: step_of(name, addresses.namespaces) for node, name in types.items() if name is not None}
    found = [
        node
        for node, step in names.items()
        if step.name == wanted.name and (not has_namespace or _is_same_namespace(wanted, step, addresses.namespaces))
    ]
    if len(found) == 1:
        return found[0]
    if found:
        shown = ", ".join(sorted(_shown(names[node]) for node in found))
        raise NotFound(f"several types are called {text}: {shown}; name one of these, or its NodeId")
    raise NotFound(f"no type is called {text}{_suggestion(wanted.name, names)}")


def _is_same_namespace(wanted: PathStep, there: PathStep, uris: Sequence[str]) -> bool:
    uri = wanted.uri or (uris[wanted.namespace] if 0 < wanted.namespace < len(uris) else "")
    return there.uri == uri if uri else not there.uri and there.namespace == wanted.namespace


def _shown(step: PathStep) -> str:
    return f"{{{step.uri}}}{step.name}" if step.uri else f"{step.namespace}:{step.name}"


def _suggestion(word: str, names: Mapping[ua.NodeId, PathStep]) -> str:
    """Return the types that may be meant: the same name in another namespace or in other capitals, else the likest."""
    alike = [step for step in names.values() if step.name.casefold() == word.casefold()]
    if not alike:
        own = [step for step in names.values() if step.uri or step.namespace]
        near = nearest(word, (step.name for step in own)) or nearest(word, (step.name for step in names.values()))
        alike = [step for step in names.values() if step.name == near]
    hint = f"; there is {', '.join(sorted(map(_shown, alike[:5])))}" if alike else ""
    return f"{hint}; gateway browse --root /Types/ObjectTypes shows those of the server" if not alike else hint
