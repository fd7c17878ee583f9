"""Which OPC UA devices share a session. Pure."""

from collections.abc import Sequence
from typing import Final

from gateway.sources.opcua.config.device import OpcUaDevice

_SAME: Final = (
    "url",
    "timeout",
    "session_timeout",
    "username",
    "password",
    "plain_password",
    "user_certificate",
    "user_key",
    "security",
    "security_mode",
    "check_host",
    "accept",
    "pki",
)
"""Everything that a session rests on but the device's name."""


def session_key(device: OpcUaDevice) -> tuple[object, ...]:
    """Return what devices with `share_session` have in common whose session is the same."""
    return tuple(getattr(device, key) for key in _SAME)


def sharing(device: OpcUaDevice, others: Sequence[OpcUaDevice]) -> list[str]:
    """Return the names of the other devices with which a device shares its session."""
    if not device.share_session:
        return []
    alike = [one.name for one in others if one.share_session and session_key(one) == session_key(device)]
    return [name for name in alike if name != device.name]
