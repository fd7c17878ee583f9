"""The services of a session that are called seldom, each call split by what the server takes at once.

Read of attributes, Browse, TranslateBrowsePathsToNodeIds, RegisterNodes; on asyncua's session.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, cast

from asyncua import ua
from asyncua.client.ua_session import UaSession
from asyncua.ua.attribute_ids import AttributeIds

from gateway.core.errors import NotConnected
from gateway.sources.opcua.client.errors import translate_errors
from gateway.sources.opcua.port.adaptive_timeout import AdaptiveTimeout
from gateway.sources.opcua.port.batches import Batches
from gateway.sources.opcua.port.errors import ServiceFault
from gateway.sources.opcua.status.codes import SERVICE_UNSUPPORTED, is_bad

SAFE: Final = 100
"""Operations in one call to a server that states no limit, or 0."""
MOST: Final = 500
MOST_NODES: Final = 300
"""The same for services that take asyncua longer to encode and decode, 0.1 ms an operation: the event loop waits for it."""
REFERENCES_AT_ONCE: Final = 2_000
"""Of one node in one answer; the rest comes by BrowseNext, so that no folder is too large for an answer."""
MOST_CHILDREN: Final = 100_000
NO_MATCH: Final = 0x806F0000
TOO_MANY_MATCHES: Final = 0x806D0000
NO_CONTINUATION_POINTS: Final = 0x804B0000
_LIMITS: Final = (11705, 11710, 11711, 11712, 11714, 24104)
"""MaxNodesPerRead, -Browse, -RegisterNodes, -TranslateBrowsePathsToNodeIds, MaxMonitoredItemsPerCall, -PerSubscription."""
_WHOLE_PATH: Final = 2**32 - 1
_ALL_RESULTS: Final = 63


class Services:
    """Service calls of one session. Answers come in the order of the operations; a refused one is a status code or None."""

    def __init__(self, session: UaSession, timeout: AdaptiveTimeout) -> None:
        self._session = session
        self.reads = Batches(SAFE, timeout.batch_limit())
        self.browses = Batches(SAFE, timeout.batch_limit())
        self.translations = Batches(SAFE, timeout.batch_limit())
        self.registrations = Batches(SAFE, timeout.batch_limit())

    async def learn_limits(self) -> tuple[float, float]:
        """Read OperationLimits (Part 5, 6.3.11): 0, missing or unreadable leaves the safe default.

        Returns MaxMonitoredItemsPerCall and MaxMonitoredItemsPerSubscription, infinite where the server does not say.
        """
        values = await self.attributes((ua.NodeId(number, 0), AttributeIds.Value) for number in _LIMITS)  # type: ignore[arg-type]
        stated = [one if isinstance(one, int) and one > 0 else math.inf for one in values]
        mosts = ((self.reads, MOST), *((one, MOST_NODES) for one in (self.browses, self.registrations, self.translations)))
        for (batches, most), limit in zip(mosts, stated, strict=False):
            if limit < math.inf:
                batches.size = int(min(limit, most))
        return stated[-2], stated[-1]

    async def attributes(self, nodes: Iterable[tuple[ua.NodeId, AttributeIds]]) -> list[Any]:
        """Read attributes, as asyncua decodes them; None for those that cannot be read."""
        return [
            None if one.Value is None or (one.StatusCode is not None and one.StatusCode.is_bad()) else one.Value.Value
            for one in await self.read(nodes)
        ]

    async def read(self, nodes: Iterable[tuple[ua.NodeId, AttributeIds]]) -> list[ua.DataValue]:
        """Read attributes with their types and status codes."""

        def refused(batch: Sequence[object], status: int) -> list[ua.DataValue]:
            return [ua.DataValue(StatusCode=ua.StatusCode(ua.UInt32(status))) for _ in batch]

        results = await self.reads.run(list(nodes), self._read, refused)
        return [value for batch in results for value in batch]

    async def value_types(self, nodes: Sequence[ua.NodeId]) -> list[str]:
        """Return the built-in type of each node's present value, "[]" behind it for an array; "" where there is none."""
        return [_type_name(one.Value) for one in await self.read((node, AttributeIds.Value) for node in nodes)]

    async def _read(self, batch: Sequence[tuple[ua.NodeId, AttributeIds]]) -> list[ua.DataValue]:
        params = ua.ReadParameters(TimestampsToReturn=ua.TimestampsToReturn.Neither)
        params.NodesToRead = [ua.ReadValueId(NodeId=node, AttributeId=attribute) for node, attribute in batch]
        with translate_errors("cannot read attributes"):
            answers = await self._session.read(params)
        expect(answers, batch)
        return answers

    async def read_range(self, node: ua.NodeId, index: str) -> ua.DataValue:
        """Read a part of a node's value (Part 4, 7.27)."""
        params = ua.ReadParameters(TimestampsToReturn=ua.TimestampsToReturn.Neither)
        params.NodesToRead = [ua.ReadValueId(NodeId=node, AttributeId=AttributeIds.Value, IndexRange=index)]
        try:
            with translate_errors("cannot read attributes"):
                answers = await self._session.read(params)
        except ServiceFault as fault:
            return ua.DataValue(StatusCode=ua.StatusCode(ua.UInt32(fault.status)))
        expect(answers, params.NodesToRead)
        return answers[0]

    async def browse(
        self, nodes: Sequence[ua.NodeId], reference: int, *, inverse: bool = False, classes: int = 0
    ) -> list[list[Any] | int]:
        """Return the references of each node of a type or its subtypes, or the status code that says why not.

        classes: a mask of node classes of the targets, 0 for all. All references, by as many BrowseNext calls as it takes,
        at most `MOST_CHILDREN` a node.
        """

        async def browse(batch: Sequence[ua.NodeId]) -> list[list[Any] | int]:
            described = [_description(node, reference, inverse=inverse, classes=classes) for node in batch]
            return await self._browse(described)

        def refused(batch: Sequence[ua.NodeId], status: int) -> list[list[Any] | int]:
            return [status] * len(batch)

        results = await self.browses.run(nodes, browse, refused)
        return [references for batch in results for references in batch]

    async def references(self, nodes: Sequence[ua.NodeId], reference: int, *, inverse: bool = False) -> list[list[Any]]:
        """Return references as `browse` does; none where the server refuses."""
        return [some if isinstance(some, list) else [] for some in await self.browse(nodes, reference, inverse=inverse)]

    async def _browse(self, batch: Sequence[ua.BrowseDescription]) -> list[list[Any] | int]:
        params = ua.BrowseParameters(NodesToBrowse=list(batch), RequestedMaxReferencesPerNode=ua.UInt32(REFERENCES_AT_ONCE))
        params.View.Timestamp = ua.get_win_epoch()
        with translate_errors("cannot browse"):
            results = await self._session.browse(params)
        expect(results, batch)
        found: list[list[Any] | int] = [_references(result) for result in results]
        points = {at: result.ContinuationPoint for at, result in enumerate(results) if result.ContinuationPoint}
        await self._browse_next(found, points)
        # A server with few continuation points refuses the nodes that came after: alone they can have one.
        for at, result in enumerate(results):
            if len(batch) > 1 and result.StatusCode.value == NO_CONTINUATION_POINTS:
                (found[at],) = await self._browse([batch[at]])
        return found

    async def _browse_next(self, found: list[list[Any] | int], points: dict[int, bytes]) -> None:
        while points:
            asked = list(points.items())
            params = ua.BrowseNextParameters(ReleaseContinuationPoints=False)
            params.ContinuationPoints = [point for _, point in asked]
            with translate_errors("cannot go on browsing"):
                results = await self._session.browse_next(params)
            expect(results, asked)
            points = {}
            for (at, _), result in zip(asked, results, strict=True):
                before, more = found[at], _references(result)
                if isinstance(before, int) or isinstance(more, int):
                    found[at] = more
                    continue
                before += more
                if result.ContinuationPoint and more and len(before) < MOST_CHILDREN:
                    points[at] = result.ContinuationPoint

    async def translate(self, paths: Sequence[tuple[ua.NodeId, Sequence[ua.RelativePathElement]]]) -> list[ua.NodeId | int]:
        """Return the node at the end of each browse path (Part 4, 5.9.4), or the status code that says why there is none."""

        def refused(batch: Sequence[object], status: int) -> list[ua.NodeId | int]:
            return [status] * len(batch)

        results = await self.translations.run(paths, self._translate, refused)
        found = [node for batch in results for node in batch]
        if any(node == SERVICE_UNSUPPORTED for node in found):
            found = await self._follow(paths)
        return found

    async def _follow(self, paths: Sequence[tuple[ua.NodeId, Sequence[ua.RelativePathElement]]]) -> list[ua.NodeId | int]:
        """Follow browse paths by Browse, for servers without the service (gopcua); each node is browsed once."""
        seen: dict[tuple[ua.NodeId, int], list[Any]] = {}
        levels = [[start] for start, _ in paths]
        for depth in range(max((len(elements) for _, elements in paths), default=0)):
            steps = [elements[depth] if depth < len(elements) else None for _, elements in paths]
            wanted: dict[int, list[ua.NodeId]] = {}
            for level, step in zip(levels, steps, strict=True):
                if step is not None:
                    wanted.setdefault(cast(int, step.ReferenceTypeId.Identifier), []).extend(level)
            for reference, nodes in wanted.items():
                new = [node for node in dict.fromkeys(nodes) if (node, reference) not in seen]
                some = await self.references(new, reference)
                seen |= {(node, reference): found for node, found in zip(new, some, strict=True)}
            levels = [
                level if step is None else _targets(level, step, seen) for level, step in zip(levels, steps, strict=True)
            ]
        return [NO_MATCH if not level else level[0] if len(level) == 1 else TOO_MANY_MATCHES for level in levels]

    async def _translate(self, batch: Sequence[tuple[ua.NodeId, Sequence[ua.RelativePathElement]]]) -> list[ua.NodeId | int]:
        asked = [ua.BrowsePath(start, ua.RelativePath(list(elements))) for start, elements in batch]
        with translate_errors("cannot translate browse paths"):
            results = await self._session.translate_browsepaths_to_nodeids(asked)
        expect(results, batch)
        return [_target(result) for result in results]

    async def register(self, nodes: Sequence[ua.NodeId]) -> list[ua.NodeId]:
        """Return ids by which these nodes can be read faster in this session (Part 4, 5.9.5), else their own."""
        batches = await self.registrations.run(list(nodes), self._register, lambda batch, _: list(batch))
        return [node for batch in batches for node in batch]

    async def _register(self, batch: Sequence[ua.NodeId]) -> list[ua.NodeId]:
        with translate_errors("cannot register nodes"):
            registered = await self._session.register_nodes(list(batch))
        expect(registered, batch)
        return registered


def element(name: ua.QualifiedName, reference: int) -> ua.RelativePathElement:
    """Make one step forward along references of a type (or its subtypes) to the node with this browse name."""
    step: Any = ua.RelativePathElement()
    step.ReferenceTypeId = ua.NodeId(reference, 0)  # type: ignore[arg-type]  # asyncua declares its own integers
    step.IsInverse, step.IncludeSubtypes, step.TargetName = False, True, name
    return cast(ua.RelativePathElement, step)


def expect(answers: Sequence[object] | None, asked: Sequence[object]) -> None:
    """Check that there are as many answers as operations. Raises NotConnected."""
    given = len(answers or ())  # an array of length -1 on the wire is None
    if given != len(asked):
        raise NotConnected(f"the server answered {given} of {len(asked)} operations")


def _description(node: ua.NodeId, reference: int, *, inverse: bool, classes: int) -> ua.BrowseDescription:
    asked: Any = ua.BrowseDescription(NodeId=node)
    asked.BrowseDirection = ua.BrowseDirection.Inverse if inverse else ua.BrowseDirection.Forward
    asked.ReferenceTypeId = ua.NodeId(reference, 0)  # type: ignore[arg-type]
    asked.IncludeSubtypes, asked.NodeClassMask, asked.ResultMask = True, classes, _ALL_RESULTS
    return cast(ua.BrowseDescription, asked)


def _type_name(value: ua.Variant | None) -> str:
    if value is None or value.VariantType is ua.VariantType.Null:
        return ""
    return value.VariantType.name + ("[]" if value.is_array else "")


def _targets(
    level: Sequence[ua.NodeId], step: ua.RelativePathElement, seen: Mapping[tuple[ua.NodeId, int], Sequence[Any]]
) -> list[ua.NodeId]:
    """Return where a step leads to from these nodes, each once. seen: the references of each."""
    reference = cast(int, step.ReferenceTypeId.Identifier)
    there = [local(one.NodeId) for node in level for one in seen[node, reference] if one.BrowseName == step.TargetName]
    return list(dict.fromkeys(node for node in there if node is not None))


def local(node: Any) -> ua.NodeId | None:
    """Return the NodeId of an ExpandedNodeId, None for one of another server (Part 6, 5.2.2.10)."""
    if getattr(node, "ServerIndex", None) or getattr(node, "NamespaceUri", None):
        return None
    return ua.NodeId(node.Identifier, node.NamespaceIndex, node.NodeIdType)


def _references(result: ua.BrowseResult) -> list[Any] | int:
    status = 0 if result.StatusCode is None else int(result.StatusCode.value)
    return status if is_bad(status) else list(result.References or ())


def _target(result: ua.BrowsePathResult) -> ua.NodeId | int:
    if not result.StatusCode.is_good():
        return int(result.StatusCode.value)
    targets = [local(one.TargetId) for one in result.Targets or () if one.RemainingPathIndex == _WHOLE_PATH]
    found = list(dict.fromkeys(node for node in targets if node is not None))
    if not found:
        return NO_MATCH
    return found[0] if len(found) == 1 else TOO_MANY_MATCHES
