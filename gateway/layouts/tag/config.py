"""The keys that layout `tag` adds to `publish:`."""

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from gateway.core.config_types import ConfigModel
from gateway.layouts.tag.topic_template import OWN_FIELDS, check_field, check_levels, check_template

_DEFAULT_TOPIC = "{root}/{gateway}/{device}/{tag}"


def _not_own(name: str) -> str:
    if name in OWN_FIELDS:
        raise ValueError(f"{name} is filled in by the gateway; expected a name other than {', '.join(OWN_FIELDS)}")
    return name


Template = Annotated[str, BeforeValidator(check_template)]
TopicFields = dict[
    Annotated[str, BeforeValidator(check_field), AfterValidator(_not_own)], Annotated[str, BeforeValidator(check_levels)]
]


class TagLayoutConfig(ConfigModel):
    """The keys in `gateway.yaml`."""

    topic: Template = _DEFAULT_TOPIC
    """Layout tag: the topic of a tag, from {root} (mqtt.root), {gateway}, {device}, {tag} and fields of your own, for
    instance {enterprise}/{site}/{area}/{line}/{device}/{tag}."""
    topic_fields: TopicFields = Field(default_factory=dict)
    """Layout tag: values of the fields of your own, for instance site: berlin; several levels are possible: berlin/hall2."""
    retain: bool = False
    """Layout tag: true lets the broker keep the newest value of each tag for those who subscribe later."""
    quality_topic: bool = False
    """Layout tag, format plain: true publishes the quality of each value on `.../q` as well, for subscribers that do not see
    the user property `q` of MQTT 5."""


class TagLayoutDeviceConfig(ConfigModel):
    """The keys in a device file. What it leaves out is as in gateway.yaml."""

    topic: Template | None = None
    """Layout tag: the topic of this device's tags."""
    topic_fields: TopicFields = Field(default_factory=dict)
    """Layout tag: values for this device; they add to, or replace, those of gateway.yaml."""
    retain: bool | None = None
    """Layout tag: whether the broker keeps the newest value of each tag."""
    quality_topic: bool | None = None
    """Layout tag, format plain: whether the quality of each value is published on `.../q` as well."""
