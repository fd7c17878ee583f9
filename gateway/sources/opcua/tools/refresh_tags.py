"""Ask a server for its tags, at the start of the gateway and by command."""

from collections.abc import Sequence
from typing import Final

from gateway.core.clock import Clock
from gateway.core.deadline import deadline
from gateway.core.errors import NotConnected
from gateway.sources.opcua.client.session import connect
from gateway.sources.opcua.config.device import OpcUaDevice, OpcUaTag
from gateway.sources.opcua.source.redundancy import RedundantServers
from gateway.sources.opcua.source.tag_discovery import Change, found_path, refresh

KNOWN_S: Final = 5.0
"""Longest wait where an earlier result is kept: a later connection asks again, and the next start takes the result."""


async def refresh_tags(
    device: OpcUaDevice, tags: Sequence[OpcUaTag], clock: Clock, most_wait_s: float = KNOWN_S
) -> Change | None:
    """Ask over a connection of its own, and keep the result in files.

    most_wait_s: longest wait where an earlier result is kept. Returns what is new in the files, None for nothing. Raises
    NotConnected.
    """
    path = found_path(device)
    can_wait = path is None or path.is_file()
    try:
        async with deadline(most_wait_s if can_wait else None):
            connection = await RedundantServers(device.model_copy(update={"mode": "poll"}), connect, clock).open()
            try:
                return await refresh(connection.metadata, device, tags)
            finally:
                await connection.close()
    except TimeoutError:
        raise NotConnected(f"it takes longer than {most_wait_s:g} s; it is asked again once it is connected") from None
