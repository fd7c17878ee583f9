"""The keys of `publish:` that mean the same in every layout."""

from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

from gateway.core.config_types import ConfigModel
from gateway.encoding.formats import FormatName
from gateway.encoding.window_json import STATISTICS


def _statistics(value: Any) -> tuple[str, ...]:
    """Return statistics in the order of payloads. Raises ValueError."""
    some = value if isinstance(value, list | tuple) else [value]
    for one in some:
        if one not in STATISTICS:
            raise ValueError(f"{one!r} is no statistic; expected a list of {', '.join(STATISTICS)}")
    brought = {"last", *(["mean"] if "std" in some else [])}  # spreads cannot be merged without means
    return tuple(one for one in STATISTICS if one in some or one in brought)


Statistics = Annotated[
    tuple[str, ...],
    BeforeValidator(_statistics),
    WithJsonSchema({"type": "array", "items": {"enum": list(STATISTICS)}}),
]


class PublishFormat(ConfigModel):
    """The keys of `publish:` in `gateway.yaml` that hold for every layout."""

    format: FormatName = "json"
    """How payloads are written: json, json+zstd (compressed; content type application/json+zstd) or cbor; columns,
    columns+zstd or columns+cbor with one array per statistic in place of an object per tag; plain (layout tag): only the
    number, or nothing where it is bad. The retained status and the last will are always json."""
    statistics: Statistics = STATISTICS
    """What windows and summaries say of numbers, of min, max, mean, std and first: for instance [mean, min, max]. `n`,
    `good`, `last` and `q` are always there; std brings mean."""
    descriptions: bool = True
    """Layouts device and tag: the retained message `{device}/tags` says name, unit, description, type, range and interval of
    each tag. It is published at each connect and when the configuration changes."""


class DevicePublishFormat(ConfigModel):
    """The same keys in a device file. What it leaves out is as in gateway.yaml."""

    format: FormatName | None = None
    """How this device's payloads are written: json, json+zstd, cbor, columns, columns+zstd, columns+cbor or plain."""
    statistics: Statistics | None = None
    """What this device's windows and summaries say of numbers, of min, max, mean, std and first."""

    def over(self, general: Any) -> Any:
        """Return `publish:` of gateway.yaml as it holds for the device.

        Its own keys replace, and its own entries of mappings add to, those of the gateway.
        """
        update = {key: value for key, value in self if value is not None}
        for key, value in update.items():
            if isinstance(value, dict):
                update[key] = getattr(general, key) | value
        return general.model_copy(update=update)
