"""Which node a configured address means in this session: namespace URIs and browse paths resolved, nodes registered."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds

from gateway.core.clock import Clock
from gateway.core.turns import turn_after
from gateway.sources.opcua.client.node_paths import is_numbered, step_of
from gateway.sources.opcua.client.services import NO_MATCH, Services, element
from gateway.sources.opcua.config.browse_path import PathStep, is_browse_path, parse_browse_path
from gateway.sources.opcua.config.node_id import parse_node_id
from gateway.sources.opcua.port.node_names import NodeNames
from gateway.sources.opcua.status.codes import RENAMED

RETRY_S: Final = 60.0
"""How long a browse path that leads nowhere is left alone."""
PATHS_AT_ONCE: Final = 200
"""Browse paths that are parsed before the event loop has its turn: about 3 ms of it."""
_UNKNOWN_NAMESPACE: Final = 0xFFFF
"""An index that no server has: a node of a namespace that the server lacks is refused alone, as any unknown node."""
_MOST_NAMED: Final = 0x7FFF
"""asyncua encodes no larger one in a browse name. No server has it either."""
_ROOT: Final = ua.NodeId(ObjectIds.RootFolder, 0)  # type: ignore[arg-type]  # asyncua declares its own integers
_NODE_TYPES: Final = {
    "i": ua.NodeIdType.Numeric,
    "s": ua.NodeIdType.String,
    "g": ua.NodeIdType.Guid,
    "b": ua.NodeIdType.ByteString,
}


class Addresses:
    """The nodes of one session, by address. A browse path is resolved once; without success, again after a minute.

    lacks_namespace: an address names a namespace that the server has not.
    """

    def __init__(self, services: Services, clock: Clock, names: NodeNames) -> None:
        """Begin with none. names: those of the sessions before."""
        self._services = services
        self._clock = clock
        self._names = names
        self.namespaces: Sequence[str] = ()
        self.lacks_namespace = False
        self._namespaces: Mapping[str, int] = {}
        self._nodes: dict[str, ua.NodeId] = {}
        self._registered: dict[str, ua.NodeId] = {}
        self._failed: dict[str, tuple[int, float]] = {}

    def set_namespaces(self, uris: Iterable[object]) -> None:
        """Set the session's NamespaceArray (Part 5, 6.3.1).

        Indices may differ after each restart of the server, and a server may add some while it runs. Addresses with a
        namespace that was not there are resolved again.
        """
        self.namespaces = [str(uri) for uri in uris]
        self._namespaces = {uri: index for index, uri in enumerate(self.namespaces)}
        if self.lacks_namespace:
            self.lacks_namespace = False
            self._nodes = {text: node for text, node in self._nodes.items() if node.NamespaceIndex != _UNKNOWN_NAMESPACE}
            self._registered = {text: node for text, node in self._registered.items() if text in self._nodes}

    async def resolve(self, texts: Iterable[str], *, register: bool = False) -> None:
        """Find the nodes of these addresses; `status_of` tells of those that are not there. Raises NotConnected."""
        asked = list(dict.fromkeys(texts))
        now_s = self._clock.monotonic()
        await turn_after(len(asked))
        new = [text for text in asked if text not in self._nodes and self._failed.get(text, (0, 0.0))[1] <= now_s]
        await turn_after(len(asked))
        paths = [text for text in new if is_browse_path(text)]
        if paths:
            await self._walk(paths)
        nodes = {text: self._node(text) for text in new if not is_browse_path(text)}
        renamed = await self._renamed({text: node for text, node in nodes.items() if is_numbered(node)})
        self._nodes |= {text: node for text, node in nodes.items() if text not in renamed}
        self._failed |= dict.fromkeys(renamed, (RENAMED, now_s + RETRY_S))
        found = [text for text in asked if text in self._nodes and text not in self._registered] if register else []
        if found:
            registered = await self._services.register([self._nodes[text] for text in found])
            self._registered |= dict(zip(found, registered, strict=True))

    async def _renamed(self, nodes: Mapping[str, ua.NodeId]) -> set[str]:
        """Return which of these have another browse name than in the sessions before: their NodeIds mean other nodes now."""
        if not nodes:
            return set()
        names = await self._services.attributes((node, AttributeIds.BrowseName) for node in nodes.values())
        told = zip(nodes, names, strict=True)
        steps = {text: step_of(name, self.namespaces) for text, name in told if isinstance(name, ua.QualifiedName)}
        return self._names.compare(steps)

    async def _walk(self, paths: Sequence[str]) -> None:
        """Resolve paths, in parts, because each costs a while. The folder of several is resolved once for all of them."""
        uses = Counter(text.rpartition("/")[0] for text in paths)
        folders: dict[tuple[PathStep, ...], ua.NodeId | int] = {}
        for at in range(0, len(paths), PATHS_AT_ONCE):
            steps = {text: parse_browse_path(text) for text in paths[at : at + PATHS_AT_ONCE]}
            shared = {path[:-1] for text, path in steps.items() if uses[text.rpartition("/")[0]] > 1 and path[:-1]}
            new = [folder for folder in shared if folder not in folders]
            folders |= dict(zip(new, await self._translate([(_ROOT, folder) for folder in new]), strict=True))
            starts = [(folders.get(path[:-1]), path) for path in steps.values()]
            asked = [(one, path[-1:]) if isinstance(one, ua.NodeId) else (_ROOT, path) for one, path in starts]
            retry_s = self._clock.monotonic() + RETRY_S
            for text, found in zip(steps, await self._translate(asked), strict=True):
                if isinstance(found, ua.NodeId):
                    self._nodes[text] = found
                    self._failed.pop(text, None)
                else:
                    self._failed[text] = (found, retry_s)

    async def _translate(self, paths: Sequence[tuple[ua.NodeId, Sequence[PathStep]]]) -> list[ua.NodeId | int]:
        if not paths:
            return []
        return await self._services.translate([(start, [self._element(step) for step in path]) for start, path in paths])

    def node(self, text: str) -> ua.NodeId:
        """Return the node of an address that `resolve` has found."""
        return self._nodes[text]

    def registered(self, text: str) -> ua.NodeId:
        """Return the node to read, by the id that the server registered for it, where it did."""
        return self._registered.get(text) or self._nodes[text]

    def status_of(self, text: str) -> int:
        """0 when the address leads to a node, else the status code that says why not."""
        return 0 if text in self._nodes else self._failed.get(text, (NO_MATCH, 0.0))[0]

    def forget(self, text: str) -> None:
        """Record that the node is gone, so that its browse path is resolved again at once: it may lead to another node.

        A registered id does not come back, so the node is read by its own id from now on.
        """
        if is_browse_path(text):
            self._nodes.pop(text, None)
            self._registered.pop(text, None)
        elif text in self._registered:
            self._registered[text] = self._nodes[text]

    def retry(self, texts: Iterable[str]) -> None:
        """Ask for these again at the next `resolve`."""
        for text in texts:
            self._failed.pop(text, None)

    def _node(self, text: str) -> ua.NodeId:
        address = parse_node_id(text)
        index = self._index(address.uri) if address.uri else address.namespace
        return ua.NodeId(address.identifier, index, _NODE_TYPES[address.kind])  # type: ignore[arg-type]

    def _index(self, uri: str) -> int:
        index = self._namespaces.get(uri, _UNKNOWN_NAMESPACE)
        self.lacks_namespace = self.lacks_namespace or index == _UNKNOWN_NAMESPACE
        return index

    def _element(self, step: PathStep) -> ua.RelativePathElement:
        return element(self.name(step), ObjectIds.HierarchicalReferences)

    def name(self, step: PathStep) -> ua.QualifiedName:
        """Return a browse name with its namespace index in this session."""
        index = self._index(step.uri) if step.uri else step.namespace
        return ua.QualifiedName(step.name, min(index, _MOST_NAMED))
