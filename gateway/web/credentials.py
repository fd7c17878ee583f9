"""The files that say who may ask, read when they are needed."""

import ssl
from pathlib import Path
from typing import Final

import structlog

from gateway.core.bounded_file import read_bounded
from gateway.web.config import WebConfig
from gateway.web.guard import LEAST_TOKEN_CHARACTERS

log = structlog.get_logger("web")

_MOST_TOKEN_BYTES: Final = 4_096


def read_token(path: Path) -> str:
    """Return the token of a file, empty when there is none that can be used. Blocks: for a thread."""
    try:
        token = read_bounded(path, _MOST_TOKEN_BYTES).decode().strip()
    except (OSError, ValueError) as error:
        log.warning("web.token_file cannot be read", file=str(path), reason=getattr(error, "strerror", None) or "no text")
        return ""
    if len(token) < LEAST_TOKEN_CHARACTERS:
        log.warning("web.token_file holds no token", file=str(path), expected=f"{LEAST_TOKEN_CHARACTERS} characters or more")
        return ""
    return token


def tls_context(config: WebConfig) -> ssl.SSLContext | None:
    """Return the server's TLS context, None without TLS. Reads files. Raises OSError."""
    tls = config.tls
    if tls.cert is None or tls.key is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=tls.client_ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(tls.cert, tls.key, password=lambda: "")
    if tls.client_ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
    return context
