"""Long work on the event loop in slices."""

import asyncio
from typing import Final

_MANY: Final = 2_000
"""So many objects in one step take about a millisecond."""


async def turn_after(count: int) -> None:
    """Give the event loop a turn between two steps of work on `count` objects each, where they are many."""
    if count > _MANY:
        await asyncio.sleep(0)
