"""OPC UA: one session per server, a subscription or polled reads.

Float values (32 bits) leave the decoder as the shortest decimal that names the same float32 (23.45, not
23.450000762939453), because the type of a node is known only at run time: `is_single` is therefore always false.
"""

from collections.abc import Sequence

from gateway.core.clock import Clock
from gateway.core.ports.plugin import DeviceEntry, SourceKind
from gateway.core.ports.source import Source
from gateway.sources.opcua.config.device import OpcUaDevice, OpcUaTag
from gateway.sources.opcua.port.measures import completed, measures_path
from gateway.sources.opcua.source.tag_discovery import Change, asks, found_path
from gateway.sources.opcua.tools.plan import plan


def _check(device: OpcUaDevice, tag: OpcUaTag) -> tuple[str, str, str] | None:
    for key in ("server_deadband", "trigger"):
        if device.mode == "poll" and getattr(tag, key) is not None:
            return key, "has no effect, because the device is polled", "mode: subscribe in the device, or deadband"
    return None


def _is_single(device: OpcUaDevice, tag: OpcUaTag) -> bool:
    return False


def _interval_ns(device: OpcUaDevice, tag: OpcUaTag) -> int:
    return (tag.interval or device.interval) if device.mode == "poll" else 0


def _delay_ns(device: OpcUaDevice, tags: Sequence[OpcUaTag]) -> int:
    """What changes is seen at the next sampling and sent at the next publication."""
    if device.mode == "poll" or not tags:
        return 0
    return max((tag.interval or device.interval) + (tag.sampling or device.sampling) for tag in tags)


def _build(entries: Sequence[DeviceEntry], clock: Clock) -> Sequence[Source]:
    # Imported here, because asyncua takes 30 MB and half a second that a gateway without OPC UA does not need.
    from gateway.sources.opcua.client.connection import connect
    from gateway.sources.opcua.source.source import OpcUaSource

    return [OpcUaSource(entry, clock, connect) for entry in entries]


async def _find(device: OpcUaDevice, tags: Sequence[OpcUaTag], clock: Clock) -> Change | None:
    from gateway.sources.opcua.tools.refresh_tags import refresh_tags

    return await refresh_tags(device, tags, clock)


KIND = SourceKind(
    "opcua",
    OpcUaDevice,
    OpcUaTag,
    _check,
    _is_single,
    _interval_ns,
    plan,
    _build,
    found=found_path,
    told=measures_path,
    completed=completed,
    asks=asks,
    find=_find,
    delay_ns=_delay_ns,
)
