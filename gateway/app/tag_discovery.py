"""Tag discovery before the start of the gateway: devices report which tags they have."""

import asyncio
from collections.abc import Collection, Sequence
from typing import Any

import structlog

from gateway.core.clock import Clock
from gateway.core.deadline import deadline
from gateway.core.errors import NotConnected
from gateway.core.ports.plugin import TagDiscoverable
from gateway.settings import Settings
from gateway.settings.kept_configuration import load_for_run

log = structlog.get_logger("app")

_DISCOVERY_S = 30.0


async def discover_tags(settings: Settings, clock: Clock) -> Settings:
    """Discover the tags of all devices that can report them, for a bounded time. Returns the settings with these tags.

    For a device that does not answer, the tags found last time are used. Raises ConfigError as `load` does.
    """
    if not await ask_for_tags(settings, clock):
        return settings
    found = await asyncio.to_thread(load_for_run, settings.folder)
    for warning in found.warnings:
        if warning not in settings.warnings:
            log.warning("configuration", warning=warning)
    return found


async def ask_for_tags(settings: Settings, clock: Clock, names: Collection[str] | None = None) -> bool:
    """Have devices, all or those of these names, write which tags they have. Returns whether any file is another one now."""
    changed = False

    async def discover(plugin: TagDiscoverable[Any, Any], config: Any, tags: Sequence[Any]) -> None:
        nonlocal changed
        try:
            async with deadline(_DISCOVERY_S):
                changed |= await plugin.discover_tags(config, tags, clock) is not None
        except (NotConnected, TimeoutError) as error:
            reason = str(error) or f"it takes longer than {_DISCOVERY_S:g} s"
            log.warning("tags cannot be asked for, those it last told of go on", device=config.name, reason=reason)
        except Exception:  # one device's bug must not keep the others from starting
            log.exception("a bug in asking for tags: please report it", device=config.name)

    discoverable = [
        (plugin, entry)
        for plugin, entry in zip(settings.plugins, settings.entries, strict=True)
        if isinstance(plugin, TagDiscoverable)
        and (names is None or entry.config.name in names)
        and plugin.needs_discovery(entry.config, entry.tags)
    ]
    if discoverable:
        names = ", ".join(entry.config.name for _, entry in discoverable)
        log.info("asking devices for tags and units", devices=names, at_most_s=_DISCOVERY_S)
    async with asyncio.TaskGroup() as tasks:
        for plugin, entry in discoverable:
            tasks.create_task(discover(plugin, entry.config, entry.tags), name=f"tag discovery of {entry.config.name}")
    return changed
