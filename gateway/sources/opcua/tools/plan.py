"""What would be read from a server, in lines for `gateway check`. Pure."""

from collections import Counter
from collections.abc import Sequence

from gateway.core.plural import counted
from gateway.core.ports.plugin import DeviceEntry
from gateway.sources.opcua.config.device import OpcUaDevice, OpcUaTag
from gateway.sources.opcua.config.shared_session import sharing
from gateway.sources.opcua.port.units import range_text
from gateway.sources.opcua.port.values import Item
from gateway.sources.opcua.source.item_map import ItemMap

_LISTED = 20


def plan(entries: Sequence[DeviceEntry]) -> list[str]:
    """Describe what would be read, in lines.

    Per device: address, subscription or reads with item counts and intervals, a warning where samples would be lost, and
    which tag is which node as long as there are few.
    """
    devices = [entry.config for entry in entries]
    return [line for entry in entries for line in _device_lines(entry.config, entry.tags, sharing(entry.config, devices))]


def _device_lines(device: OpcUaDevice, tags: Sequence[OpcUaTag], shares_with: Sequence[str]) -> list[str]:
    who = f"user {device.username}" if device.username is not None else "anonymous"
    lines = [f"{device.name}: OPC UA {device.url}, {who}, security {device.security}"]
    lines += [f"  or {url}" for url in device.urls]
    if device.share_session:
        more = f" and {len(shares_with) - _LISTED} more" if len(shares_with) > _LISTED else ""
        lines.append(f"  session shared with {', '.join(shares_with[:_LISTED]) or 'no other device'}{more}")
    lines += [f"  browse {one.root}: {', '.join(one.include)}; found tags are among those below" for one in device.browse]
    items = ItemMap(device, tags).items
    intervals = sorted({item.publishing_ns for item in items})
    for interval in intervals:
        group = [item for item in items if item.publishing_ns == interval]
        if device.mode == "poll":
            lines.append(f"  poll: {counted(len(group), 'node')} every {_seconds(interval)}")
        else:
            lines += _subscription_lines(interval, group)
    lines += [f"  events of {one.notifier} from severity {one.severity}" for one in device.events]
    if device.history:
        lines.append(
            f"  history is read back, {_seconds(device.history_most)} and {device.history_samples} samples a node at most"
        )
    lines += [f"  {tag.name} <- {tag.node}{_part(tag)}{_measure(tag)}" for tag in tags[:_LISTED]]
    if len(tags) > _LISTED:
        lines.append(f"  and {len(tags) - _LISTED} more")
    return lines


def _subscription_lines(interval: int, items: Sequence[Item]) -> list[str]:
    counts = Counter(item.sampling_ns for item in items)
    groups = ", ".join(f"{count} sampled every {_seconds(sampling)}" for sampling, count in sorted(counts.items()))
    queues = "/".join(str(size) for size in sorted({item.queue_size for item in items}))
    lines = [f"  subscription: publishing every {_seconds(interval)}, queue {queues}; items: {groups}"]
    short = [item for item in items if -(-interval // item.sampling_ns) > item.queue_size]
    if short:
        needed = max(-(-interval // item.sampling_ns) for item in short)
        size = min(item.queue_size for item in short)
        lines.append(f"  warning: a queue of {size} is too short, up to {needed} samples come per publication")
    return lines


def _seconds(duration_ns: int) -> str:
    return f"{duration_ns / 1e6:g}ms" if duration_ns < 1_000_000_000 else f"{duration_ns / 1e9:g}s"


def _measure(tag: OpcUaTag) -> str:
    parts = ", ".join(one for one in (tag.unit, range_text(tag.range)) if one)
    return f" in {parts}" if parts else ""


def _part(tag: OpcUaTag) -> str:
    index = f"[{tag.index}]" if tag.index else ""
    return index + (f"[{tag.element}]" if tag.element else "") + (f" .{tag.field}" if tag.field else "")
