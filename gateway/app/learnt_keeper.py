"""Writes what detectors have learnt beside the outbox now and then, so that a crash does not cost it."""

import asyncio
from typing import Final, NoReturn

from gateway.app.compose import GatewayParts
from gateway.app.kept_state import learnt_columns, write_learnt
from gateway.core.clock import Clock

LEAST_S: Final = 600.0
_BYTES_PER_S: Final = 2_000
"""On average, for the sake of flash: 173 MB a day, whatever the number of tags."""


async def keep_what_is_learnt(parts: GatewayParts, clock: Clock) -> NoReturn:
    """Write it every ten minutes, and less often where it is much: 10,000 tags every 75 minutes."""
    pause_s = LEAST_S
    while True:
        await clock.sleep(pause_s)
        columns = learnt_columns(parts.settings, parts.chain, clock.now_ns())
        await asyncio.to_thread(write_learnt, parts.settings.root.outbox.path, columns)
        pause_s = max(LEAST_S, sum(column.nbytes for column in columns.values()) / _BYTES_PER_S)
