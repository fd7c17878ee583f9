"""What asyncio tells of exceptions that nobody waits for."""

import asyncio
from typing import Any

import structlog

_log = structlog.get_logger("app")


def quiet_peers(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Handle what the event loop reports: a peer's fault that came too late for anyone is a debug line, all else as usual.

    uvloop leaves the handshake of a TLS connection unwaited for when the attempt is cancelled just then; a fault of the
    peer (OSError, of which ssl.SSLError is one) is then told as a future that was never retrieved. Exceptions of tasks are
    those of our own code, and stay errors.
    """
    fault, future = context.get("exception"), context.get("future")
    if isinstance(fault, OSError) and future is not None and not isinstance(future, asyncio.Task):
        _log.debug("a connection that was given up has failed", reason=str(fault))
    else:
        loop.default_exception_handler(context)
