"""Asks a server what the numbers of enumerations mean."""

from collections.abc import Sequence

import numpy as np

from gateway.core.turns import turn_after
from gateway.sources.opcua.codec.enum_labels import LabelRetries
from gateway.sources.opcua.port.metadata import Metadata
from gateway.sources.opcua.port.values import Item, Values
from gateway.sources.opcua.source.diagnostics import Diagnostics
from gateway.sources.opcua.source.ingest import Ingest
from gateway.sources.opcua.source.poison_state import PoisonState
from gateway.sources.opcua.source.source_device import SourceDevice
from gateway.sources.opcua.source.staleness import Staleness


class LabelRequests:
    """The questions of one session. What an earlier session knows to be anything else than a number is not asked for."""

    def __init__(
        self,
        device: SourceDevice,
        metadata: Metadata,
        values: Values,
        ingest: Ingest,
        diagnostics: Diagnostics,
        staleness: Staleness,
        poison: PoisonState,
    ) -> None:
        """Begin without questions. ingest: learns the labels."""
        self._device = device
        self._metadata, self._values = metadata, values
        self._ingest = ingest
        self._diagnostics = diagnostics
        self._staleness = staleness
        self._poison = poison

    async def run(self) -> None:
        """Ask for the labels of all items and queue those of the present values; later ones come with the values.

        Refused questions are repeated on a timer, and nodes that change their type are asked again. Returns once no
        question is left. Raises NotConnected.
        """
        items, clock = self._device.items, self._device.clock
        retries, unlabelled = LabelRetries(), self._staleness.unlabelled
        await self._ask([item for item in items if not unlabelled[item.row]], retries)
        while retries or unlabelled.any():
            await clock.sleep(self._device.intervals.labels_check_s)
            changed = unlabelled & ~self._staleness.unlabelled
            unlabelled &= ~changed
            due = retries.due(clock.monotonic(), self._diagnostics.bad_item_rows)
            if rows := sorted({*np.flatnonzero(changed).tolist(), *due}):
                await self._ask([items[row] for row in rows], retries)

    async def _ask(self, items: Sequence[Item], retries: LabelRetries) -> None:
        found = await self._metadata.labels(items) if items else []
        await turn_after(len(items))
        pairs = list(zip(items, found, strict=True))
        retries.clear(item.row for item, labels in pairs if labels is not None)
        retries.refused((item.row for item, labels in pairs if labels is None), self._device.clock.monotonic())
        await turn_after(len(items))
        known = [(item, labels) for item, labels in pairs if labels is not None]
        labelled = self._ingest.learn_labels([item for item, _ in known], [labels for _, labels in known])
        readable = [item for item in labelled if item.row not in self._poison.untrusted]
        for values in await self._values.read(readable) if readable else ():
            self._ingest.put_labels(values)
