"""What a user can say of all alarms together: what is published when there are too many at once."""

from typing import Annotated

from pydantic import Field

from gateway.core.config_types import DURATION_SCHEMA, ConfigModel, default, duration_ns


class AlarmsConfig(ConfigModel):
    """How many alarms a gateway publishes, and how they belong together."""

    most: Annotated[int, Field(ge=10, le=100_000)] = 600
    """Changes of alarms that are published in a minute; twice as many of priority `high`. The rest comes as one event
    `alarm_flood` with counts, and each alarm of it as soon as there is room."""
    hold_chattering: bool = True
    """An alarm that begins three times in a minute is published as active until it was cleared for a minute."""
    group: Annotated[int, duration_ns("0s", "1d"), DURATION_SCHEMA] = default("5min")
    """Alarms of a device that follow each other within this belong together: each names the first of them (`first_out`)."""
    re_alarm: Annotated[int, duration_ns("0s", "30d"), DURATION_SCHEMA] = default("0s")
    """An alarm that is still active is published again after so long, with the reason `re_alarm`. `0s`: never."""
