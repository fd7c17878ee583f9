"""Who may ask: pure checks of a request's headers."""

import base64
import binascii
import hmac
import ipaddress
from collections.abc import Collection, Mapping
from typing import Final
from urllib.parse import urlsplit

LEAST_TOKEN_CHARACTERS: Final = 16

HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
"""Sent with every answer."""


def is_known_host(header: str, names: Collection[str]) -> bool:
    """Return whether a Host header (RFC 9110, 7.2) is an IP address, localhost or one of the names.

    DNS rebinding needs a name: a page of evil.example whose name is made to lead here still asks for evil.example.
    """
    try:
        host = urlsplit(f"//{header}").hostname or ""
    except ValueError:
        return False
    if host == "localhost" or host in names:
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_foreign(headers: Mapping[str, str], host: str) -> bool:
    """Return whether a browser says that another site's page asks (Fetch Metadata, Origin).

    A link that leads here from elsewhere opens the page: that is no request of a script.
    """
    origin = headers.get("Origin")
    if origin is not None and origin.partition("://")[2] != host:
        return True
    site, mode = headers.get("Sec-Fetch-Site", "none"), headers.get("Sec-Fetch-Mode", "")
    return site not in ("none", "same-origin") and mode != "navigate"


def brings_token(header: str, token: str) -> bool:
    """Return whether an Authorization header has the token: `Bearer`, or as the password of `Basic` (RFC 7617)."""
    scheme, _, given = header.partition(" ")
    if scheme.lower() == "basic":
        try:
            given = base64.b64decode(given, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return False
    elif scheme.lower() != "bearer":
        return False
    return hmac.compare_digest(given.strip().encode(), token.encode())
