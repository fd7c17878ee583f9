"""What layout `sparkplug` publishes on (3.0.0, 4.1): for the layout itself, `gateway check` and `gateway tail`."""

from collections.abc import Sequence
from typing import Final

from gateway.core.ports.layout_plugin import LayoutScope

NAMESPACE: Final = "spBv1.0"
OPEN_FILTERS: Final = (f"{NAMESPACE}/#",)


def group_of(scope: LayoutScope) -> str:
    """Return the group id: the configured one, or the root of the contract's topics."""
    group: str = scope.config.sparkplug.group or scope.root
    return group


def filters_of(scope: LayoutScope) -> Sequence[str]:
    """Return the filter of a node and its devices."""
    return [f"{NAMESPACE}/{group_of(scope)}/+/{scope.gateway}/#"]


def describe(scope: LayoutScope) -> tuple[Sequence[str], Sequence[str]]:
    """Return lines about the node and the primary host, before and after those of the devices."""
    host = scope.config.sparkplug.host
    state = [f"while {NAMESPACE}/STATE/{host} says online, and store it while not"] if host else []
    birth = f"{NAMESPACE}/{group_of(scope)}/NBIRTH/{scope.gateway}"
    return [f"{birth}  (and NDATA with events and counters, NDEATH)"], state


def describe_device(scope: LayoutScope, device: int) -> Sequence[str]:
    """Return the line about a device."""
    topic = f"{NAMESPACE}/{group_of(scope)}/DBIRTH/{scope.gateway}/{scope.devices[device].name}"
    return [f"{topic}  (and DDATA, DDEATH)"]
