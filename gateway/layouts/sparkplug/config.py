"""The keys that layout `sparkplug` adds to `publish:`."""

from typing import Literal

from gateway.core.config_types import ConfigModel, Name


class SparkplugConfig(ConfigModel):
    """Layout sparkplug. The edge node's id is the gateway's name, device ids are the devices' names."""

    group: Name | None = None
    """Group id. Default: mqtt.root."""
    host: Name | None = None
    """Id of the primary host: nothing is sent while it is offline, the outbox keeps it. Default: none is waited for."""
    legacy_state: bool = False
    """True takes the states of a primary host that speaks Sparkplug 2.2 (ONLINE or OFFLINE on STATE/ and its id)."""
    qos: Literal[0, 1] = 0
    """Quality of service of births, data and device deaths: 0 as the standard says, or 1, which it forbids and most hosts
    take. At 0 a message counts as delivered when the broker has answered a PINGREQ that was sent after it: it has read the
    message, but cannot say that it refused it. At 1 the broker acknowledges, or refuses, each."""
    structures: Literal["json", "templates"] = "json"
    """json: structures and arrays are text. templates: a structure is an instance of a template whose definition is in the
    node's birth, an array of structures a data set; arrays of anything else stay text."""
    statistics: bool = False
    """True adds n, min, max, mean and std of each window to its metrics, as properties."""


class SparkplugLayoutConfig(ConfigModel):
    """The key in `gateway.yaml`. Devices have none: births and sequence numbers span all of them."""

    sparkplug: SparkplugConfig = SparkplugConfig()
    """Layout sparkplug."""
