"""Keeps a configuration beside the outbox once it has run for a while."""

import asyncio
from typing import NoReturn

import structlog

from gateway.app.compose import GatewayParts
from gateway.app.reloader import Reloader
from gateway.core.clock import Clock
from gateway.core.os_errors import os_reason
from gateway.settings.kept_configuration import keep_configuration

log = structlog.get_logger("app")


async def keep_what_runs(parts: GatewayParts, reloader: Reloader, clock: Clock) -> NoReturn:
    """Keep each configuration that has run for `reload.keep_after`, if all of it could be used."""
    while True:
        reloader.taken.clear()
        settings = parts.settings
        await clock.sleep(settings.root.reload.keep_after / 1e9)
        if settings is not parts.settings:
            continue
        if not settings.refused and not settings.refused_root:
            try:
                if await asyncio.to_thread(keep_configuration, settings):
                    log.info("configuration kept", config=settings.hash)
            except OSError as error:
                log.warning("configuration is not kept", reason=os_reason(error))
        await reloader.taken.wait()
