"""Finds the tags that names and patterns mean, without holding the event loop."""

import asyncio
import re
from collections.abc import Sequence
from fnmatch import translate
from typing import Final

import numpy as np

from gateway.core.blocks import TagIds
from gateway.core.tags import TagTable

_MATCHES_A_SLICE: Final = 10_000
_WILD: Final = re.compile(r"[*?\[]")


async def chosen_tags(table: TagTable, patterns: Sequence[str]) -> tuple[TagIds, list[str]]:
    """Return the ids of the tags whose `device/tag` a pattern means, ascending, and the patterns that mean none."""
    exact = {pattern for pattern in patterns if not _WILD.search(pattern)}
    wild = {pattern: re.compile(translate(pattern)).match for pattern in patterns if pattern not in exact}
    used: set[str] = set()
    found: list[int] = []
    size = max(100, _MATCHES_A_SLICE // (len(wild) + 1))
    for begin in range(0, len(table), size):
        for tag in table.tags[begin : begin + size]:
            label = f"{table.devices[tag.device]}/{tag.name}"
            fits = [pattern for pattern, match in wild.items() if match(label)]
            if label in exact:
                fits.append(label)
            if fits:
                found.append(tag.id)
                used.update(fits)
        await asyncio.sleep(0)
    return np.array(found, np.uint32), [pattern for pattern in patterns if pattern not in used]
