"""Where things lie by default; apart, so that the configuration can be read without the cryptography library."""

from typing import Final

DEFAULT_FOLDER: Final = "/var/lib/gateway/pki/opcua"
DEFAULT_FOUND: Final = "/var/lib/gateway/found"
