"""How messages look on the wire."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from gateway.core.config_types import ConfigModel, Name
from gateway.encoding.formats import FormatName
from gateway.encoding.topic_template import OWN_FIELDS, check_field, check_levels, check_template

_DEFAULT_TOPIC = "{root}/{gateway}/{device}/{tag}"


def _not_own(name: str) -> str:
    if name in OWN_FIELDS:
        raise ValueError(f"{name} is filled in by the gateway; expected a name other than {', '.join(OWN_FIELDS)}")
    return name


def _not_sparkplug(value: Any) -> Any:
    if value == "sparkplug":
        raise ValueError(
            "sparkplug is for a whole gateway, since its births and sequence numbers span all devices: "
            "set publish.layout in gateway.yaml; expected device or tag"
        )
    return value


Template = Annotated[str, BeforeValidator(check_template)]
TopicFields = dict[
    Annotated[str, BeforeValidator(check_field), AfterValidator(_not_own)], Annotated[str, BeforeValidator(check_levels)]
]


class SparkplugConfig(ConfigModel):
    """Layout sparkplug. The edge node's id is the gateway's name, device ids are the devices' names."""

    group: Name | None = None
    """Group id. Default: mqtt.root."""
    host: Name | None = None
    """Id of the primary host: nothing is sent while it is offline, the outbox keeps it. Default: none is waited for."""
    qos: Literal[0, 1] = 0
    """Quality of service of births, data and device deaths: 0 as the standard says, or 1, which it forbids and most hosts
    take. At 0 a message counts as delivered when the broker has answered a PINGREQ that was sent after it: it has read the
    message, but cannot say that it refused it. At 1 the broker acknowledges, or refuses, each."""
    statistics: bool = False
    """True adds n, min, max, mean and std of each window to its metrics, as properties."""


class LayoutConfig(ConfigModel):
    """The keys of `publish:` that say what goes over the wire."""

    layout: Literal["device", "tag", "sparkplug"] = "device"
    """`device`: one topic per device and kind, as the contract says. `tag`: one topic per tag. `sparkplug`: Sparkplug B."""
    format: FormatName = "json"
    """How payloads are written: json, json+zstd (compressed; content type application/json+zstd) or cbor. The retained
    status and the last will are always json."""
    topic: Template = _DEFAULT_TOPIC
    """Layout tag: the topic of a tag, from {root} (mqtt.root), {gateway}, {device}, {tag} and fields of your own, for
    instance {enterprise}/{site}/{area}/{line}/{device}/{tag}."""
    topic_fields: TopicFields = Field(default_factory=dict)
    """Layout tag: values of the fields of your own, for instance site: berlin; several levels are possible: berlin/hall2."""
    sparkplug: SparkplugConfig = SparkplugConfig()
    """Layout sparkplug."""
    retain: bool = False
    """Layout tag: true lets the broker keep the newest value of each tag for those who subscribe later."""


class DeviceLayoutConfig(ConfigModel):
    """The keys of a device's own `publish:`. What it leaves out is as in gateway.yaml."""

    layout: Annotated[Literal["device", "tag"] | None, BeforeValidator(_not_sparkplug)] = None
    """`device` or `tag`."""
    format: FormatName | None = None
    """How this device's payloads are written: json, json+zstd or cbor."""
    topic: Template | None = None
    """Layout tag: the topic of this device's tags."""
    topic_fields: TopicFields = Field(default_factory=dict)
    """Layout tag: values for this device; they add to, or replace, those of gateway.yaml."""
    retain: bool | None = None
    """Layout tag: whether the broker keeps the newest value of each tag."""

    def over(self, general: LayoutConfig) -> LayoutConfig:
        """What holds for the device."""
        own = {key: value for key, value in self if value is not None and key != "topic_fields"}
        return general.model_copy(update=own | {"topic_fields": general.topic_fields | self.topic_fields})
