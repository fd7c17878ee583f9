"""Where things lie by default; apart, so that the configuration can be read without the cryptography library."""

import os
from pathlib import Path
from typing import Final

DEFAULT_FOLDER: Final = Path("/var/lib/gateway/pki/opcua")
PKI_VARIABLE: Final = "GATEWAY_OPCUA_PKI"
DEFAULT_FOUND: Final = Path("/var/lib/gateway/found")
DEFAULT_KEPT: Final = Path("/var/lib/gateway/history")

PKI_PARTS: Final = ("own", "trusted", "issuers", "rejected")
"""What there is below the folder of certificates."""


def usual_folder() -> Path:
    """Return the folder of certificates where none is configured: GATEWAY_OPCUA_PKI, as commands have it, or the default."""
    return Path(os.environ.get(PKI_VARIABLE) or DEFAULT_FOLDER)
