"""Where things lie by default; apart, so that the configuration can be read without the cryptography library."""

from pathlib import Path
from typing import Final

DEFAULT_FOLDER: Final = Path("/var/lib/gateway/pki/opcua")
DEFAULT_FOUND: Final = Path("/var/lib/gateway/found")
DEFAULT_KEPT: Final = Path("/var/lib/gateway/history")

PKI_PARTS: Final = ("own", "trusted", "issuers", "rejected")
"""What there is below the folder of certificates."""
