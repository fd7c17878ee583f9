"""How messages look on the wire."""

from gateway.core.fields import ConfigModel
from gateway.encoding.formats import FormatName


class LayoutConfig(ConfigModel):
    """The keys of `publish:` that say what goes over the wire."""

    format: FormatName = "json"
    """How payloads are written: json, json+zstd (compressed; content type application/json+zstd) or cbor. The retained
    status and the last will are always json."""


class DeviceLayoutConfig(ConfigModel):
    """The keys of a device's own `publish:`. What it leaves out is as in gateway.yaml."""

    format: FormatName | None = None
    """How this device's payloads are written: json, json+zstd or cbor."""
