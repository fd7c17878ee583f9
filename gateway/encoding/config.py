"""The keys of `publish:` that mean the same in every layout."""

from typing import Any

from gateway.core.config_types import ConfigModel
from gateway.encoding.formats import FormatName


class PublishFormat(ConfigModel):
    """The keys of `publish:` in `gateway.yaml` that hold for every layout."""

    format: FormatName = "json"
    """How payloads are written: json, json+zstd (compressed; content type application/json+zstd) or cbor. The retained
    status and the last will are always json."""


class DevicePublishFormat(ConfigModel):
    """The same keys in a device file. What it leaves out is as in gateway.yaml."""

    format: FormatName | None = None
    """How this device's payloads are written: json, json+zstd or cbor."""

    def over(self, general: Any) -> Any:
        """Return `publish:` of gateway.yaml as it holds for the device.

        Its own keys replace, and its own entries of mappings add to, those of the gateway.
        """
        update = {key: value for key, value in self if value is not None}
        for key, value in update.items():
            if isinstance(value, dict):
                update[key] = getattr(general, key) | value
        return general.model_copy(update=update)
