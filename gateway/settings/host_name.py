"""Names of gateways in fleets, whose configurations are equal: `name: "%H"`."""

import re
import socket
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, WithJsonSchema

from gateway.core.config_types import Name

_SPECIFIER: Final = re.compile(r"%[Hm]|\$\{(?:HOSTNAME|MACHINE_ID)\}")
_MACHINE_ID: Final = Path("/etc/machine-id")


def _expand(value: Any) -> Any:
    return _SPECIFIER.sub(lambda found: _value_of(found[0]), value) if isinstance(value, str) else value


def _value_of(specifier: str) -> str:
    """Return what systemd means by it (systemd.unit(5)): the host name, or the machine id. Raises ValueError."""
    if specifier in ("%H", "${HOSTNAME}"):
        return socket.gethostname()
    try:
        machine = _MACHINE_ID.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        machine = ""
    if not machine:
        raise ValueError(f"{specifier} has no value: {_MACHINE_ID} is missing or empty; expected %H, or a name")
    return machine


GatewayName = Annotated[
    Name, BeforeValidator(_expand), WithJsonSchema({"type": "string", "pattern": r"^(\$\{|[^/+#$\s])([^/+#]*[^/+#\s])?$"})
]
"""A name in which %H or ${HOSTNAME} stands for the host name, %m or ${MACHINE_ID} for the machine id."""
