"""Values that cannot be: outside of what their sensor can measure."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Self

import numpy as np

from gateway.core.blocks import SampleBlock, Values
from gateway.core.quality import Quality
from gateway.stages.config import TagPolicy


class Validity:
    """The check of samples against `valid_range`. What lies outside is `uncertain`, with the limit bits of OPC in its code.

    A quality is only ever lowered. Values are not changed.
    """

    def __init__(self, lowest: Values, highest: Values) -> None:
        """lowest, highest: float64[tags], inclusive; infinite where there is no limit."""
        self._lowest, self._highest = lowest, highest
        self._is_on = bool(np.isfinite(lowest).any() or np.isfinite(highest).any())

    @classmethod
    def build(cls, policies: Sequence[TagPolicy]) -> Self:
        """Return the check for a configuration. policies: one per tag id."""
        spans = [policy.valid_range or (-np.inf, np.inf) for policy in policies]
        columns = np.array(spans, np.float64).reshape(-1, 2)
        return cls(columns[:, 0].copy(), columns[:, 1].copy())

    def checked(self, block: SampleBlock) -> SampleBlock:
        """Return the samples with lowered qualities; the block itself where there is nothing to lower."""
        if not self._is_on:
            return block
        below, above = block.value < self._lowest[block.tag], block.value > self._highest[block.tag]  # NaN is neither
        if not (below.any() or above.any()):
            return block
        worst = np.full(len(block), 0xFF, np.uint8)
        worst[below], worst[above] = Quality.UNCERTAIN_RANGE_LOW, Quality.UNCERTAIN_RANGE_HIGH
        return replace(block, quality=np.minimum(block.quality, worst))
