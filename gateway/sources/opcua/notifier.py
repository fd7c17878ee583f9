"""Event monitored items and ConditionRefresh on asyncua (Part 4, 7.22.3; Part 9, 5.5.7)."""

from collections.abc import Sequence
from typing import Final

from asyncua import ua
from asyncua.client.ua_session import UaSession
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.uaerrors import UaError

from gateway.sources.opcua.alarms import BASE_EVENT, SELECTED
from gateway.sources.opcua.config import OpcUaEvents
from gateway.sources.opcua.status import is_good

QUEUE: Final = 1000
_CONDITION_TYPE: Final = ua.NodeId.from_string("i=2782")
_CONDITION_REFRESH: Final = ua.NodeId.from_string("i=3875")


async def create_items(
    session: UaSession, subscription: int, nodes: Sequence[ua.NodeId], wanted: Sequence[OpcUaEvents]
) -> list[ua.MonitoredItemCreateResult]:
    """One monitored item per notifier; its place in `wanted` is its client handle. A filter by severity that the server
    does not understand is left out: `Alarms` filters anyway."""
    pairs = list(zip(nodes, wanted, strict=True))
    results = await _create(session, subscription, [_request(place, *pair, True) for place, pair in enumerate(pairs)])
    refused = [place for place, result in enumerate(results) if not is_good(result.StatusCode.value)]
    again = [_request(place, *pairs[place], False) for place in refused if wanted[place].severity > 1]
    if again:
        for result, request in zip(await _create(session, subscription, again), again, strict=True):
            results[request.RequestedParameters.ClientHandle] = result
    return results


async def _create(
    session: UaSession, subscription: int, requests: list[ua.MonitoredItemCreateRequest]
) -> list[ua.MonitoredItemCreateResult]:
    params = ua.CreateMonitoredItemsParameters()
    params.SubscriptionId = subscription
    params.TimestampsToReturn = ua.TimestampsToReturn.Neither
    params.ItemsToCreate = requests
    results = list(await session.create_monitored_items(params) or ())
    if len(results) != len(requests):
        raise UaError(f"{len(results)} results of {len(requests)} items")
    return results


async def refresh(session: UaSession, subscription: int) -> int:
    """Call ConditionRefresh; its status code."""
    request = ua.CallMethodRequest()
    request.ObjectId, request.MethodId = _CONDITION_TYPE, _CONDITION_REFRESH
    request.InputArguments = [ua.Variant(subscription, ua.VariantType.UInt32)]
    (result,) = await session.call([request])
    status: int = result.StatusCode.value
    return status


def _request(place: int, node: ua.NodeId, wanted: OpcUaEvents, filtered: bool) -> ua.MonitoredItemCreateRequest:
    request = ua.MonitoredItemCreateRequest()
    request.ItemToMonitor = ua.ReadValueId(NodeId=node, AttributeId=AttributeIds.EventNotifier)
    request.MonitoringMode = ua.MonitoringMode.Reporting
    request.RequestedParameters.ClientHandle = place
    request.RequestedParameters.SamplingInterval = 0
    request.RequestedParameters.QueueSize = QUEUE
    request.RequestedParameters.DiscardOldest = True
    request.RequestedParameters.Filter = _filter(wanted, filtered)
    return request


def _filter(wanted: OpcUaEvents, filtered: bool) -> ua.EventFilter:
    """Conditions of every severity, because one that ends may end with a lower one; else severity as wanted."""
    made = ua.EventFilter()
    fixed = [_operand(kind, path) for _, kind, path in SELECTED]
    made.SelectClauses = fixed + [_operand(BASE_EVENT, path) for path in wanted.fields]
    if filtered and wanted.severity > 1:
        condition = ua.LiteralOperand(ua.Variant(_CONDITION_TYPE, ua.VariantType.NodeId))
        severity = ua.LiteralOperand(ua.Variant(wanted.severity, ua.VariantType.UInt16))
        made.WhereClause.Elements = [
            _element(ua.FilterOperator.Or, ua.ElementOperand(1), ua.ElementOperand(2)),
            _element(ua.FilterOperator.OfType, condition),
            _element(ua.FilterOperator.GreaterThanOrEqual, _operand(BASE_EVENT, "Severity"), severity),
        ]
    return made


def _element(operator: ua.FilterOperator, *operands: object) -> ua.ContentFilterElement:
    return ua.ContentFilterElement(FilterOperator=operator, FilterOperands=list(operands))


def _operand(kind: str, path: str) -> ua.SimpleAttributeOperand:
    names = [ua.QualifiedName.from_string(name) for name in path.split("/")] if path else []
    return ua.SimpleAttributeOperand(
        TypeDefinitionId=ua.NodeId.from_string(kind),
        BrowsePath=names,
        AttributeId=AttributeIds.Value if names else AttributeIds.NodeId,
    )
