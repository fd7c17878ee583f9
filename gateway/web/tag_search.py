"""Finds tags by text, device and quality among 100,000 without holding the event loop."""

import asyncio
from collections import OrderedDict
from typing import Final

import numpy as np

from gateway.core.blocks import TagIds
from gateway.core.quality import GOOD_FROM, USABLE_FROM
from gateway.core.tags import TagTable
from gateway.web.live_view import LiveView
from gateway.web.query import BadQuery

_SLICE: Final = 10_000
_KEPT: Final = 16
_TRIES: Final = 3
QUALITIES: Final = ("good", "uncertain", "bad")


class TagSearch:
    """Search over names. The last questions are kept, so that scrolling through a result asks once."""

    def __init__(self, live: LiveView) -> None:
        self._live = live
        self._names: list[str] = []
        self._version = -1
        self._found: OrderedDict[tuple[str, str], TagIds] = OrderedDict()

    async def find(self, text: str, device: str, quality: str) -> TagIds:
        """Return the ids of the tags whose `device/name` has all words of the text, ascending.

        device: only of this one, empty for all. quality: only of this present class, empty for all. They are ids of the
        table that there is when this returns. Raises BadQuery where reloads change the table again and again.
        """
        for _ in range(_TRIES):
            version = self._live.table_version
            found = await self._by_name(text.lower(), device)
            if version == self._live.table_version:
                break
        else:
            raise BadQuery("the tags change just now", "the same question a little later", status=503)
        if not quality:
            return found
        codes = self._live.values(found).quality
        if quality == "good":
            return found[codes >= GOOD_FROM]
        if quality == "bad":
            return found[codes < USABLE_FROM]
        return found[(codes >= USABLE_FROM) & (codes < GOOD_FROM)]

    async def _by_name(self, text: str, device: str) -> TagIds:
        live = self._live
        if self._version != live.table_version:
            self._version, self._names = live.table_version, []
            self._found.clear()
        key = text, device
        if key in self._found:
            self._found.move_to_end(key)
            return self._found[key]
        table, version = live.table, self._version
        rows = range(*table.range_of(table.devices.index(device))) if device in table.devices else range(len(table))
        if device and device not in table.devices:
            rows = range(0)
        words = text.split()
        found = np.arange(rows.start, rows.stop, dtype=np.uint32)
        if words:
            found = await self._matching(words, rows, await self._all_names(table, version))
        if version == live.table_version:
            self._found[key] = found
            while len(self._found) > _KEPT:
                self._found.popitem(last=False)
        return found

    @staticmethod
    async def _matching(words: list[str], rows: range, names: list[str]) -> TagIds:
        found: list[int] = []
        for begin in range(rows.start, rows.stop, _SLICE):
            part = range(begin, min(begin + _SLICE, rows.stop))
            found += [row for row in part if all(word in names[row] for word in words)]
            await asyncio.sleep(0)
        return np.array(found, np.uint32)

    async def _all_names(self, table: TagTable, version: int) -> list[str]:
        """Return `device/name` of every tag of a table in lower case; made when first asked for. version: of the table."""
        if len(self._names) == len(table):
            return self._names
        names: list[str] = []
        for begin in range(0, len(table), _SLICE):
            names += [f"{table.devices[tag.device]}/{tag.name}".lower() for tag in table.tags[begin : begin + _SLICE]]
            await asyncio.sleep(0)
        if version == self._version:
            self._names = names
        return names
