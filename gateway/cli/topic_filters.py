"""Which topics `gateway tail` follows: filters for every layout, no two of which match the same topic. Pure."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from gateway.encoding.config import LayoutConfig
from gateway.encoding.topic_template import check_template, filled, unknown_fields
from gateway.encoding.topics import CONTRACT_VERSION, Topics
from gateway.layouts.sparkplug.host import NAMESPACE
from gateway.layouts.tag.layout import TagTopics

if TYPE_CHECKING:
    from gateway.settings import Settings  # a whole configuration: not for those who have none

_ONE: Final = "+"
_REST: Final = "#"


def usual(root: str, templates: Sequence[str] = ()) -> tuple[str, ...]:
    """Of any gateway below `root`: the contract, Sparkplug, and layout tag with these templates. Raises ValueError."""
    return disjoint([f"{root}/{CONTRACT_VERSION}/#", f"{NAMESPACE}/#", *(of_template(one, root) for one in templates)])


def of_template(template: str, root: str) -> str:
    """The filter of all tags of a template: a field whose value is not known is one level. Raises ValueError."""
    unknown = dict.fromkeys(["gateway", "device", *unknown_fields(check_template(template), {})], _ONE)
    return _of_tags(filled(template, {"root": root} | unknown | {"tag": _ONE}))


def of_settings(settings: "Settings") -> tuple[str, ...]:
    """Of one gateway, by its configuration."""
    root, publish = settings.root, settings.root.publish
    if publish.layout == "sparkplug":
        return (f"{NAMESPACE}/{publish.sparkplug.group or root.mqtt.root}/+/{root.name}/#",)
    topics = Topics.of(root.mqtt.root, root.name, settings.table.devices)
    configs = [own.over(publish) for own in settings.publishing]
    tags = [_of_device(config, topics, number) for number, config in enumerate(configs) if config.layout == "tag"]
    return disjoint([f"{topics.base}/#", *tags])


def _of_device(config: LayoutConfig, topics: Topics, device: int) -> str:
    return _of_tags(TagTopics.of(config, topics, device).topic(_ONE))


def _of_tags(topic: str) -> str:
    """A wildcard takes a whole level (MQTT 5.0, 4.7.1); events and summaries lie below it."""
    return "/".join([_ONE if _ONE in level else level for level in topic.split("/")] + [_REST])


def disjoint(filters: Iterable[str]) -> tuple[str, ...]:
    """Filters that match what these match (and more, where two cross each other), each topic by one of them only: a broker
    may send a message once for each filter that matches (MQTT 5.0, 3.3.4)."""
    kept: list[str] = []
    for one in filters:
        wanted = one.split("/")
        while other := next((known for known in kept if _meet(known.split("/"), wanted)), None):
            kept.remove(other)
            wanted = _joined(other.split("/"), wanted)
        kept.append("/".join(wanted))
    return tuple(kept)


def _meet(one: Sequence[str], other: Sequence[str]) -> bool:
    """Whether some topic matches both."""
    for a, b in zip(one, other, strict=False):
        if _REST in (a, b):
            return True
        if a != b and _ONE not in (a, b):
            return False
    longer = one if len(one) > len(other) else other
    return len(one) == len(other) or longer[min(len(one), len(other))] == _REST  # a/# matches a, too


def _joined(one: Sequence[str], other: Sequence[str]) -> list[str]:
    """The narrowest filter that matches what either does."""
    levels: list[str] = []
    for a, b in zip(one, other, strict=False):
        if _REST in (a, b):
            return [*levels, _REST]
        levels.append(a if a == b else _ONE)
    return levels if len(one) == len(other) else [*levels, _REST]
