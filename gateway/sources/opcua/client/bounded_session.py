"""asyncua's session, whose services are decoded within a budget and never for long on the event loop."""

from functools import partial
from typing import Any

from asyncua import ua
from asyncua.client.ua_session import SessionState, UaSession
from asyncua.ua.ua_binary import struct_from_binary

from gateway.sources.opcua.client.decoding import decode_answer
from gateway.sources.opcua.client.transport import admit_long_messages
from gateway.sources.opcua.codec.bounds import MOST_BROWSED, MOST_SERVICE
from gateway.sources.opcua.codec.errors import DECODING


class BoundedSession(UaSession):
    """Every service of asyncua's session that is used here, by one way of decoding. Raises TooLarge, WireError, UaError."""

    async def _call(self, request: Any, response: type, most: int = MOST_SERVICE) -> Any:
        answer: Any = await self._send_request(request)
        with DECODING:
            decoded = await decode_answer(answer, partial(struct_from_binary, response), most)
        decoded.ResponseHeader.ServiceResult.check()
        return decoded

    async def create_session(self, parameters: ua.CreateSessionParameters) -> ua.CreateSessionResult:
        """CreateSession (Part 4, 5.7.2)."""
        if self._client.protocol is None:
            raise ConnectionError("Connection is not open")
        request = ua.CreateSessionRequest(Parameters=parameters)
        created: ua.CreateSessionResult = (await self._call(request, ua.CreateSessionResponse)).Parameters
        self.restore_authentication_token(created.AuthenticationToken)
        self._set_state(SessionState.CREATED)
        return created

    async def activate_session(self, parameters: ua.ActivateSessionParameters) -> ua.ActivateSessionResult:
        """ActivateSession (Part 4, 5.7.3). From then on answers may be long."""
        request = ua.ActivateSessionRequest(Parameters=parameters)
        activated: ua.ActivateSessionResult = (await self._call(request, ua.ActivateSessionResponse)).Parameters
        self._set_state(SessionState.ACTIVATED)
        admit_long_messages(self._client)
        return activated

    async def browse(self, parameters: ua.BrowseParameters) -> list[ua.BrowseResult]:
        """Browse (Part 4, 5.9.2)."""
        request = ua.BrowseRequest(Parameters=parameters)
        results: list[ua.BrowseResult] = (await self._call(request, ua.BrowseResponse, MOST_BROWSED)).Results
        return results

    async def browse_next(self, parameters: ua.BrowseNextParameters) -> list[ua.BrowseResult]:
        """BrowseNext (Part 4, 5.9.3)."""
        request = ua.BrowseNextRequest(Parameters=parameters)
        response = await self._call(request, ua.BrowseNextResponse, MOST_BROWSED)
        results: list[ua.BrowseResult] = response.Parameters.Results
        return results

    async def translate_browsepaths_to_nodeids(self, browse_paths: list[ua.BrowsePath]) -> list[ua.BrowsePathResult]:
        """TranslateBrowsePathsToNodeIds (Part 4, 5.9.4)."""
        request = ua.TranslateBrowsePathsToNodeIdsRequest()
        request.Parameters.BrowsePaths = browse_paths
        response = await self._call(request, ua.TranslateBrowsePathsToNodeIdsResponse)
        results: list[ua.BrowsePathResult] = response.Results
        return results

    async def register_nodes(self, nodes: list[ua.NodeId]) -> list[ua.NodeId]:
        """RegisterNodes (Part 4, 5.9.5)."""
        request = ua.RegisterNodesRequest()
        request.Parameters.NodesToRegister = nodes
        response = await self._call(request, ua.RegisterNodesResponse)
        registered: list[ua.NodeId] = response.Parameters.RegisteredNodeIds
        return registered

    async def read(self, parameters: ua.ReadParameters) -> list[ua.DataValue]:
        """Read attributes (Part 4, 5.11.2) as asyncua decodes them."""
        results: list[ua.DataValue] = (await self._call(ua.ReadRequest(Parameters=parameters), ua.ReadResponse)).Results
        return results

    async def call(self, methodstocall: list[ua.CallMethodRequest]) -> list[ua.CallMethodResult]:
        """Call methods (Part 4, 5.12.2)."""
        request = ua.CallRequest()
        request.Parameters.MethodsToCall = methodstocall
        results: list[ua.CallMethodResult] = (await self._call(request, ua.CallResponse)).Results
        return results

    async def create_subscription(
        self, params: ua.CreateSubscriptionParameters, callback: Any
    ) -> ua.CreateSubscriptionResult:
        """CreateSubscription (Part 4, 5.14.2). callback: asyncua's, not used."""
        request = ua.CreateSubscriptionRequest(Parameters=params)
        created: ua.CreateSubscriptionResult = (await self._call(request, ua.CreateSubscriptionResponse)).Parameters
        return created

    async def delete_subscriptions(self, subscription_ids: list[int]) -> list[ua.StatusCode]:
        """DeleteSubscriptions (Part 4, 5.14.8)."""
        request = ua.DeleteSubscriptionsRequest()
        request.Parameters.SubscriptionIds = subscription_ids
        results: list[ua.StatusCode] = (await self._call(request, ua.DeleteSubscriptionsResponse)).Results
        return results

    async def create_monitored_items(self, params: ua.CreateMonitoredItemsParameters) -> list[ua.MonitoredItemCreateResult]:
        """CreateMonitoredItems (Part 4, 5.13.2)."""
        request = ua.CreateMonitoredItemsRequest(Parameters=params)
        response = await self._call(request, ua.CreateMonitoredItemsResponse)
        results: list[ua.MonitoredItemCreateResult] = response.Results
        return results

    async def delete_monitored_items(self, params: ua.DeleteMonitoredItemsParameters) -> list[ua.StatusCode]:
        """DeleteMonitoredItems (Part 4, 5.13.6)."""
        request = ua.DeleteMonitoredItemsRequest(Parameters=params)
        results: list[ua.StatusCode] = (await self._call(request, ua.DeleteMonitoredItemsResponse)).Results
        return results
