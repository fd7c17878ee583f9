"""A simulated OPC UA server that has the tags of the configuration."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import UTC
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

from asyncua import ua
from asyncua.server.server import Server

from gateway.demo.ports import LOOPBACK, require_free
from gateway.demo.quiet import quiet
from gateway.sources.opcua.config.device import OpcUaDevice, OpcUaTag
from gateway.sources.opcua.config.node_id import parse_node_id

_PERIOD_S: Final = 0.25
_NAMESPACE: Final = "urn:gateway:demo:"

Values = Callable[[], Mapping[str, float]]
"""The value of each tag, by name, as of now."""


class SimulatedOpcUaServer:
    """A server without security on 127.0.0.1:port, its variables written anew every 250 ms.

    Use: `async with`, which raises PortTaken. The type of a value decides that of its variable: bool is Boolean, int UInt32,
    float Double.
    """

    def __init__(self, config: OpcUaDevice, tags: Sequence[OpcUaTag], values: Values, port: int) -> None:
        """Prepare it. values: called every 250 ms on the event loop."""
        self._tags = tags
        self._values = values
        self.url = urlsplit(config.url)._replace(netloc=f"{LOOPBACK}:{port}").geturl()
        self._port = port
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        require_free(self._port)
        server = Server()
        async with AsyncExitStack() as stack:
            stack.enter_context(quiet("asyncua"))
            await server.init()
            server.set_endpoint(self.url)
            server.set_server_name("gateway demo line")
            server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
            await self._add_nodes(server)
            await server.start()
            stack.push_async_callback(server.stop)
            tasks = await stack.enter_async_context(asyncio.TaskGroup())
            updating = tasks.create_task(self._update(server), name="simulated OPC UA server")
            stack.callback(updating.cancel)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def _add_nodes(self, server: Any) -> None:
        """Add every tag's node under Objects, with the NodeId of the configuration."""
        values = self._values()
        for number in range(2, 1 + max(parse_node_id(tag.node).namespace for tag in self._tags)):
            await server.register_namespace(f"{_NAMESPACE}{number}")
        for tag in self._tags:
            node_id = ua.NodeId.from_string(tag.node)
            name = ua.QualifiedName(tag.name, node_id.NamespaceIndex)
            await server.nodes.objects.add_variable(node_id, name, _variant(tag, values[tag.name]))

    async def _update(self, server: Any) -> None:
        node_ids = [ua.NodeId.from_string(tag.node) for tag in self._tags]
        while True:
            values, now = self._values(), ua.DateTime.now(UTC)
            for tag, node_id in zip(self._tags, node_ids, strict=True):
                value = ua.DataValue(_variant(tag, values[tag.name]), SourceTimestamp=now, ServerTimestamp=now)
                await server.write_attribute_value(node_id, value)
            await asyncio.sleep(_PERIOD_S)


def _variant(tag: OpcUaTag, value: float) -> ua.Variant:
    """Return the value as the node holds it: before the tag's scale and offset."""
    if isinstance(value, bool):
        return ua.Variant(value, ua.VariantType.Boolean)
    raw = (value - tag.offset) / tag.scale
    if isinstance(value, int):
        return ua.Variant(max(0, round(raw)) & 0xFFFFFFFF, ua.VariantType.UInt32)
    return ua.Variant(raw, ua.VariantType.Double)
