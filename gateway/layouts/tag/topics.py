"""What layout `tag` publishes on: for the layout itself, `gateway check` and `gateway tail`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gateway.core.ports.layout_plugin import LayoutScope
from gateway.encoding.topics import Topics
from gateway.layouts.device.topics import describe_events, format_note, windows_note
from gateway.layouts.tag.topic_template import check_template, filled, unknown_fields

_ONE: Final = "+"
_REST: Final = "#"


@dataclass(frozen=True, slots=True)
class TagTopics:
    """Where the tags of one device are published."""

    template: str
    values: Mapping[str, str]
    """Of every field but `tag`."""

    @classmethod
    def of(cls, config: Any, topics: Topics, device: int) -> "TagTopics":
        """Return the topics of a device. config: `publish:` as it holds for the device."""
        own = {"root": topics.root, "gateway": topics.gateway, "device": topics.devices[device]}
        return cls(config.topic, own | config.topic_fields)

    def topic(self, tag: str) -> str:
        """Return the topic of windows and values of a tag."""
        return filled(self.template, {**self.values, "tag": tag})

    def event(self, tag: str) -> str:
        """Return the topic of events of a tag."""
        return f"{self.topic(tag)}/event"

    def quality(self, tag: str) -> str:
        """Return the topic of the quality of a tag's plain values."""
        return f"{self.topic(tag)}/q"

    def summary(self, tag: str) -> str:
        """Return the topic of summaries of a tag."""
        return f"{self.topic(tag)}/summary"


def template_filter(template: str, root: str) -> str:
    """Return the filter of all tags of a template: a field whose value is not known is one level. Raises ValueError."""
    unknown = dict.fromkeys(["gateway", "device", *unknown_fields(check_template(template), {})], _ONE)
    return filter_of_tags(filled(template, {"root": root} | unknown | {"tag": _ONE}))


def filter_of_tags(topic: str) -> str:
    """Return the filter of a topic with wildcards in it, and of events and summaries, which lie below it.

    A wildcard takes a whole level (MQTT 5.0, 4.7.1).
    """
    return "/".join([_ONE if _ONE in level else level for level in topic.split("/")] + [_REST])


def describe_device(scope: LayoutScope, topics: Topics, device: int) -> Sequence[str]:
    """Return lines about a device with a topic per tag."""
    known = scope.devices[device]
    config = known.own.over(scope.config)
    more = f" and {len(known.tags) - 1} more" if len(known.tags) > 1 else ""
    kept = ", retained" if config.retain else ""
    example = TagTopics.of(config, topics, device).topic(known.tags[0] if known.tags else "{tag}")  # none found yet
    below = "/event (at once)" + (", /summary (every minute)" if scope.config.summaries else "")
    return [
        f"{example}{more}  ({windows_note(scope)}; text and structures{format_note(scope, device)}{kept})",
        f"  and below each of them {below}",
        *describe_events(scope, device),
    ]
