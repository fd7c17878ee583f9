"""What would be read from a server, in lines for `gateway check`. Pure."""

from collections import Counter
from collections.abc import Sequence

from gateway.core.sourcekind import DeviceEntry
from gateway.sources.opcua.config import OpcUaDevice, OpcUaTag

_LISTED = 20


def plan(entries: Sequence[DeviceEntry]) -> list[str]:
    """Per device: address, subscription or reads with item counts and intervals, a warning where samples would be lost,
    and which tag is which node as long as there are few."""
    return [line for entry in entries for line in _device_lines(entry.config, entry.tags)]


def _device_lines(device: OpcUaDevice, tags: Sequence[OpcUaTag]) -> list[str]:
    who = f"user {device.username}" if device.username is not None else "anonymous"
    lines = [f"{device.name}: OPC UA {device.url}, {who}, security {device.security}"]
    lines += [f"  or {url}" for url in device.urls]
    if device.mode == "poll":
        lines.append(f"  poll: {len(tags)} nodes every {_seconds(device.interval)}")
    else:
        lines += _subscription_lines(device, tags)
    lines += [f"  events of {one.notifier} from severity {one.severity}" for one in device.events]
    if device.history:
        lines.append(
            f"  history is read back, {_seconds(device.history_most)} and {device.history_samples} samples a node at most"
        )
    lines += [f"  {tag.name} <- {tag.node}" for tag in tags[:_LISTED]]
    if len(tags) > _LISTED:
        lines.append(f"  and {len(tags) - _LISTED} more")
    return lines


def _subscription_lines(device: OpcUaDevice, tags: Sequence[OpcUaTag]) -> list[str]:
    counts = Counter(device.sampling if tag.sampling is None else tag.sampling for tag in tags)
    groups = ", ".join(f"{count} sampled every {_seconds(sampling)}" for sampling, count in sorted(counts.items()))
    lines = [f"  subscription: publishing every {_seconds(device.interval)}, queue {device.queue_size}; items: {groups}"]
    needed = -(-device.interval // min(counts, default=device.interval))
    if needed > device.queue_size:
        lines.append(f"  warning: a queue of {device.queue_size} is too short, up to {needed} samples come per publication")
    return lines


def _seconds(duration_ns: int) -> str:
    return f"{duration_ns / 1e6:g}ms" if duration_ns < 1_000_000_000 else f"{duration_ns / 1e9:g}s"
