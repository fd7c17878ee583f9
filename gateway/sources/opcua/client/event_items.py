"""Event monitored items and ConditionRefresh on asyncua (Part 4, 7.22.3; Part 9, 5.5.7)."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Final

import structlog
from asyncua import ua
from asyncua.client.ua_session import UaSession
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.uaerrors import UaError

from gateway.sources.opcua.client.addresses import Addresses
from gateway.sources.opcua.client.errors import translate_errors
from gateway.sources.opcua.client.services import Services, expect
from gateway.sources.opcua.client.subscriptions import Subscriptions
from gateway.sources.opcua.codec.columns import ValueColumns
from gateway.sources.opcua.config.device import OpcUaDevice
from gateway.sources.opcua.config.event_field import parse_event_field
from gateway.sources.opcua.config.events import OpcUaEvents
from gateway.sources.opcua.port.errors import ServiceFault
from gateway.sources.opcua.port.events import BASE_EVENT, MODEL_TYPES, SELECTED
from gateway.sources.opcua.status.codes import is_good

log = structlog.get_logger("opcua")

QUEUE: Final = 1000
EVENT_HANDLES: Final = 1_000_000_000
"""Client handles of notifiers begin here, those of items at 0: node-opcua sends a value for an event item (that of the
attribute EventNotifier) when a session is resumed."""
EVENTS_NS: Final = 1_000_000_000
"""Publishing interval of events beside polled reads."""
MODEL_CHANGES: Final = OpcUaEvents()
"""Stands for changes of the server's model, in place of a notifier of the configuration; recognized by identity."""
MOST_TYPES: Final = 1000
"""Types of events whose names are asked for."""
_CONDITION_TYPE: Final = ua.NodeId.from_string("i=2782")
_CONDITION_REFRESH: Final = ua.NodeId.from_string("i=3875")


class EventItems:
    """The role `Events` of one session: event monitored items, all in its first subscription."""

    def __init__(
        self,
        session: UaSession,
        subscriptions: Subscriptions,
        services: Services,
        addresses: Addresses,
        config: OpcUaDevice,
    ) -> None:
        """Begin without any."""
        self._session = session
        self._subscriptions = subscriptions
        self._services = services
        self._addresses = addresses
        self._config = config
        self._items: list[int] = []
        self._names: dict[str, str] = {}

    async def subscribe(self, wanted: Sequence[OpcUaEvents], *, model: bool) -> list[int]:
        """Monitor the events of notifiers; see `Events.subscribe`."""
        if not len(self._subscriptions) and self._config.mode == "poll":
            with suppress(ServiceFault):
                await self._subscriptions.create(EVENTS_NS)
        if not len(self._subscriptions):
            return [self._subscriptions.refusal] * (len(wanted) + model)
        return await self._subscribe([*wanted, MODEL_CHANGES] if model else wanted)

    async def _subscribe(self, wanted: Sequence[OpcUaEvents]) -> list[int]:
        if self._items:
            await self._subscriptions.delete(self._items)
        self._addresses.retry(one.notifier for one in wanted)
        await self._addresses.resolve(one.notifier for one in wanted)
        statuses = [self._addresses.status_of(one.notifier) for one in wanted]
        there = [(place, wanted[place]) for place, status in enumerate(statuses) if not status]
        self._warn_of_unknown_namespaces([one for _, one in there])
        try:
            with translate_errors("cannot watch events"):
                results = await self._create_items(there)
        except ServiceFault as fault:
            return [fault.status] * len(wanted)
        expect(results, there)
        self._items = [result.MonitoredItemId for result in results if is_good(result.StatusCode.value)]
        created = iter(results)
        return [status or int(next(created).StatusCode.value) for status in statuses]

    def _warn_of_unknown_namespaces(self, wanted: Sequence[OpcUaEvents]) -> None:
        asked = {step.uri for one in wanted for path in one.fields for step in parse_event_field(path) if step.uri}
        if unknown := sorted(asked - set(self._addresses.namespaces)):
            log.warning(
                "%s: the server has no namespace %s: these fields of events are null", self._config.name, ", ".join(unknown)
            )

    async def _create_items(self, wanted: Sequence[tuple[int, OpcUaEvents]]) -> list[ua.MonitoredItemCreateResult]:
        """Create one monitored item per notifier; its place in `wanted` is its client handle.

        A filter by severity that the server does not understand is left out: `Alarms` filters as well.
        """
        asked = [(place, self._addresses.node(one.notifier), one) for place, one in wanted]
        results = await self._create([self._request(*one, True) for one in asked])
        refused = [at for at, result in enumerate(results) if not is_good(result.StatusCode.value)]
        again = [at for at in refused if wanted[at][1].severity > 1]
        if again:
            unfiltered = await self._create([self._request(*asked[at], False) for at in again])
            for at, result in zip(again, unfiltered, strict=True):
                results[at] = result
        return results

    async def _create(self, requests: list[ua.MonitoredItemCreateRequest]) -> list[ua.MonitoredItemCreateResult]:
        params = ua.CreateMonitoredItemsParameters()
        params.SubscriptionId = self._subscriptions.first_id
        params.TimestampsToReturn = ua.TimestampsToReturn.Neither
        params.ItemsToCreate = requests
        results = list(await self._session.create_monitored_items(params) or ())
        if len(results) != len(requests):
            raise UaError(f"{len(results)} results of {len(requests)} items")
        return results

    def _request(self, place: int, node: ua.NodeId, wanted: OpcUaEvents, filtered: bool) -> ua.MonitoredItemCreateRequest:
        request = ua.MonitoredItemCreateRequest()
        request.ItemToMonitor = ua.ReadValueId(NodeId=node, AttributeId=AttributeIds.EventNotifier)
        request.MonitoringMode = ua.MonitoringMode.Reporting
        request.RequestedParameters.ClientHandle = EVENT_HANDLES + place
        request.RequestedParameters.SamplingInterval = 0
        request.RequestedParameters.QueueSize = QUEUE
        request.RequestedParameters.DiscardOldest = True
        request.RequestedParameters.Filter = self._filter(wanted, filtered)
        return request

    def _filter(self, wanted: OpcUaEvents, filtered: bool) -> ua.EventFilter:
        """Make an event filter (Part 4, 7.22.3): severity as wanted, but conditions of every severity.

        A condition may end with a lower severity than it began. Changes of the model are filtered by each type, because
        not all servers let OfType match subtypes.
        """
        made = ua.EventFilter()
        fixed = [_operand(kind, _names(path)) for _, kind, path in SELECTED]
        further = [[self._addresses.name(step) for step in parse_event_field(path)] for path in wanted.fields]
        made.SelectClauses = fixed + [_operand(BASE_EVENT, names) for names in further]
        if wanted is MODEL_CHANGES:
            types = [ua.LiteralOperand(ua.Variant(ua.NodeId.from_string(one), ua.VariantType.NodeId)) for one in MODEL_TYPES]
            made.WhereClause.Elements = [
                _element(ua.FilterOperator.Or, ua.ElementOperand(1), ua.ElementOperand(2)),
                _element(ua.FilterOperator.Or, ua.ElementOperand(3), ua.ElementOperand(4)),
                *(_element(ua.FilterOperator.OfType, one) for one in types),
            ]
        elif filtered and wanted.severity > 1:
            condition = ua.LiteralOperand(ua.Variant(_CONDITION_TYPE, ua.VariantType.NodeId))
            severity = ua.LiteralOperand(ua.Variant(wanted.severity, ua.VariantType.UInt16))
            made.WhereClause.Elements = [
                _element(ua.FilterOperator.Or, ua.ElementOperand(1), ua.ElementOperand(2)),
                _element(ua.FilterOperator.OfType, condition),
                _element(ua.FilterOperator.GreaterThanOrEqual, _operand(BASE_EVENT, _names("Severity")), severity),
            ]
        return made

    async def type_names(self, types: Collection[str]) -> Mapping[str, str]:
        """Return the browse names of event types; each type is asked for once per session."""
        new = [text for text in types if text not in self._names]
        if new and len(self._names) < MOST_TYPES:
            self._names |= dict.fromkeys(new, "")
            nodes = {text: node for text in new if (node := _node(text)) is not None}
            names = await self._services.attributes((node, AttributeIds.BrowseName) for node in nodes.values())
            for text, name in zip(nodes, names, strict=True):
                self._names[text] = str(name.Name or "") if isinstance(name, ua.QualifiedName) else ""
        return self._names

    async def refresh_conditions(self) -> bool:
        """Call ConditionRefresh for the first subscription; see `Events.refresh_conditions`."""
        request = ua.CallMethodRequest()
        request.ObjectId, request.MethodId = _CONDITION_TYPE, _CONDITION_REFRESH
        request.InputArguments = [ua.Variant(self._subscriptions.first_id, ua.VariantType.UInt32)]
        try:
            with translate_errors("cannot refresh conditions"):
                (result,) = await self._session.call([request])
        except ServiceFault as fault:
            log.debug("%s: no ConditionRefresh: %s", self._config.name, fault)
            return False
        return is_good(int(result.StatusCode.value))


def without_event_items(columns: ValueColumns) -> ValueColumns:
    """Return the columns without values of event items."""
    if not len(columns) or int(columns.row.max()) < EVENT_HANDLES:
        return columns
    return columns.select(columns.row < EVENT_HANDLES)


def _node(text: str) -> ua.NodeId | None:
    try:
        return ua.NodeId.from_string(text)
    except (UaError, ValueError):  # what a server sends as the type of an event may be anything
        return None


def _element(operator: ua.FilterOperator, *operands: object) -> ua.ContentFilterElement:
    return ua.ContentFilterElement(FilterOperator=operator, FilterOperands=list(operands))


def _operand(kind: str, names: list[ua.QualifiedName]) -> ua.SimpleAttributeOperand:
    return ua.SimpleAttributeOperand(
        TypeDefinitionId=ua.NodeId.from_string(kind),
        BrowsePath=names,
        AttributeId=AttributeIds.Value if names else AttributeIds.NodeId,
    )


def _names(path: str) -> list[ua.QualifiedName]:
    """Return a path of the standard's own names."""
    return [ua.QualifiedName(name, 0) for name in path.split("/")] if path else []
