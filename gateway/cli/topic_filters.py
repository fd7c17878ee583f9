"""Topic filters of `gateway tail` for every layout, no two of which match the same topic. Pure."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from gateway.core.ports.layout_plugin import Templated
from gateway.plugins import LAYOUTS

if TYPE_CHECKING:
    from gateway.settings import Settings  # a whole configuration: not for those who have none

_ONE: Final = "+"
_REST: Final = "#"


def open_filters(root: str, templates: Sequence[str] = ()) -> tuple[str, ...]:
    """Return filters of any gateway below `root`, and of these templates of topics per tag. Raises ValueError."""
    known = [one for plugin in LAYOUTS.values() for one in plugin.open_filters(root)]
    return disjoint([*known, *template_filters(templates, root)])


def template_filters(templates: Sequence[str], root: str) -> tuple[str, ...]:
    """Return filters of topic templates: a field whose value is not known is one level. Raises ValueError."""
    templated = next(plugin for plugin in LAYOUTS.values() if isinstance(plugin, Templated))
    return tuple(templated.template_filter(one, root) for one in templates)


def filters_of(settings: "Settings", sink: int = 0) -> tuple[str, ...]:
    """Return filters of one gateway, by its configuration. sink: which one of several, by its place."""
    scope = settings.layout_scopes[sink]
    filters = list(LAYOUTS[scope.config.layout].filters(scope, None))
    for number, device in enumerate(scope.devices if scope.is_per_device else ()):
        filters += LAYOUTS[device.own.over(scope.config).layout].filters(scope, number)
    return disjoint(dict.fromkeys(filters))


def disjoint(filters: Iterable[str]) -> tuple[str, ...]:
    """Return filters that match what these match (and more, where two cross each other), each topic by one of them only.

    A broker may send a message once for each filter that matches (MQTT 5.0, 3.3.4).
    """
    kept: list[str] = []
    for one in filters:
        wanted = one.split("/")
        while other := next((known for known in kept if _overlap(known.split("/"), wanted)), None):
            kept.remove(other)
            wanted = _join(other.split("/"), wanted)
        kept.append("/".join(wanted))
    return tuple(kept)


def _overlap(one: Sequence[str], other: Sequence[str]) -> bool:
    """Return whether some topic matches both filters."""
    for a, b in zip(one, other, strict=False):
        if _REST in (a, b):
            return True
        if a != b and _ONE not in (a, b):
            return False
    longer = one if len(one) > len(other) else other
    return len(one) == len(other) or longer[min(len(one), len(other))] == _REST  # a/# matches a, too


def _join(one: Sequence[str], other: Sequence[str]) -> list[str]:
    """Return the narrowest filter that matches every topic of both filters."""
    levels: list[str] = []
    for a, b in zip(one, other, strict=False):
        if _REST in (a, b):
            return [*levels, _REST]
        levels.append(a if a == b else _ONE)
    return levels if len(one) == len(other) else [*levels, _REST]
