"""The keys that layout `device` adds to `publish:`: none."""

from gateway.core.config_types import ConfigModel


class DeviceLayoutConfig(ConfigModel):
    """Layout device has no keys of its own."""
