"""The keys that layout `platform` adds to `publish:`."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from gateway.core.config_types import ConfigModel, Name
from gateway.layouts.platform.templates import check_payload, check_topic

Topic = Annotated[str, AfterValidator(check_topic)]
Payload = Annotated[str, AfterValidator(check_payload)]


class PlatformConfig(ConfigModel):
    """Layout platform. A form fills in topics and payloads for a platform; each of them can be given instead."""

    form: Literal["plain", "thingsboard", "azure-iot-hub", "aws-shadow", "losant"] = "plain"
    """plain: the contract's messages on `topic`. thingsboard: its gateway API, one device for each of ours. azure-iot-hub:
    the contract's messages as device-to-cloud messages. aws-shadow: the newest values as reported state of a thing, all else
    on the contract's topics. losant: the state of a device."""
    id: Name | None = None
    """What the platform calls the gateway: Azure's device id, AWS's thing, Losant's device id. {id} in topics."""
    ids: dict[Name, Name] = Field(default_factory=dict)
    """The same for single devices, by their names, where the platform knows each: {press: 5f1c...}."""
    topic: Topic | None = None
    """Topic of windows and values, from {root}, {gateway}, {device}, {kind}, {id}."""
    payload: Payload | None = None
    """Their payload, JSON with $values (object of tags), $ts (ms), $time (ISO 8601, UTC), $device, $gateway, $kind,
    $message (the contract's message), $text (the same as a JSON string)."""
    other_topic: Topic | None = None
    """Topic of summaries, events and counters."""
    other_payload: Payload | None = None
    """Their payload. $values stands for nothing there."""
    quality: bool = True
    """True adds the quality of each tag to $values, as TAG_q. A tag without a valid value is null, in any case."""


class PlatformLayoutConfig(ConfigModel):
    """The key in `gateway.yaml`."""

    platform: PlatformConfig = PlatformConfig()
    """Layout platform."""
