"""Frees a configuration that is no longer used, a little at a time: all at once holds the loop for a microsecond a tag."""

import asyncio
from typing import Any, Final

from gateway.settings import Settings

_AT_ONCE: Final = 1_000


async def release(superseded: list[object]) -> None:
    """Empty the list. Nobody else may hold what was in it, else it is freed where the last one lets go of it."""
    while superseded:
        for column in _columns(superseded.pop()):
            while column:
                del column[-_AT_ONCE:]
                await asyncio.sleep(0)


def _columns(ended: object) -> list[list[Any]]:
    """Return what there is one of for each tag, in lists of their own: then the rest can go at once."""
    if not isinstance(ended, Settings):
        return [[ended]]
    settings = ended
    return [
        list(settings.table.tags),
        list(settings.policies),
        list(settings.formulas),
        *(list(entry.tags) for entry in settings.entries),
    ]
