"""What layout `device` publishes on: for `gateway check` and `gateway tail`."""

from collections.abc import Sequence
from typing import Final

from gateway.core.ports.layout_plugin import LayoutScope
from gateway.encoding.topics import CONTRACT_VERSION, Topics


def topics_of(scope: LayoutScope) -> Topics:
    """Return the contract's topics of a gateway."""
    return Topics.of(scope.root, scope.gateway, [device.name for device in scope.devices])


def filters_of(scope: LayoutScope) -> Sequence[str]:
    """Return the filter of all messages of the contract of a gateway."""
    return [f"{topics_of(scope).base}/#"]


def open_filters(root: str) -> Sequence[str]:
    """Return the filter of all messages of the contract below a root."""
    return [f"{root}/{CONTRACT_VERSION}/#"]


def describe(scope: LayoutScope) -> tuple[Sequence[str], Sequence[str]]:
    """Return lines about the gateway's own messages, before and after those of the devices."""
    topics, every_s = topics_of(scope), scope.config.stats / 1e9
    return [f"{topics.status}  (retained)"], [
        f"{topics.event(None)}  (losses, clock jumps, unclean stops)",
        f"{topics.stats(None)}  (deliveries, certificates, every {every_s:g} s)",
    ]


def describe_device(scope: LayoutScope, device: int) -> Sequence[str]:
    """Return lines about a device whose messages are on the contract's topics."""
    topics, form = topics_of(scope), format_note(scope, device)
    summaries = [f"{topics.summary(device)}  (every minute{form})"] if scope.config.summaries else []
    return [
        f"{topics.window(device)}  ({windows_note(scope)}{form})",
        *summaries,
        f"{topics.value(device)}  (text and structures, when they change{form})",
        *describe_events(scope, device),
    ]


def describe_events(scope: LayoutScope, device: int) -> Sequence[str]:
    """Return lines about what is on the contract's topics in every layout with a topic per tag, too."""
    topics, every_s = topics_of(scope), scope.config.stats / 1e9
    return [f"{topics.event(device)}  (at once)", f"{topics.stats(device)}  (counters, every {every_s:g} s)"]


_OCCASIONS: Final = {
    "changed": "when something changes",
    "all": "always",
    "anomalous": "around alarms and anomalies",
    "none": "never",
}


def windows_note(scope: LayoutScope) -> str:
    """Return length and occasion of windows."""
    how = _OCCASIONS[scope.config.windows]
    return f"windows of {scope.window_s:g} s, {how}"


def format_note(scope: LayoutScope, device: int) -> str:
    """Return the format of a device's payloads, where it is not JSON."""
    form = scope.devices[device].own.over(scope.config).format
    return "" if form == "json" else f", {form}"
