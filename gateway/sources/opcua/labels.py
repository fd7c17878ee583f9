"""The labels of enumerations, told as text beside their numbers. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from gateway.core.blocks import ObjectBlock, SampleBlock
from gateway.core.quality import USABLE_FROM, Quality


class Labels:
    """Whose numbers have labels, and of which one was told. Whether it is news is not decided here."""

    def __init__(self, first_tag: int, tags: int) -> None:
        self._first_tag = first_tag
        self._labels: dict[int, Mapping[int, str]] = {}
        self._has = np.zeros(tags, np.bool_)
        self._told: set[int] = set()

    def learn(self, labels: Iterable[tuple[int, Mapping[int, str]]]) -> list[int]:
        """Labels of tags by row, empty for none; what was known of others is forgotten. Returns the rows that have some."""
        self._labels = {row: some for row, some in labels if some}
        self._told.clear()
        self._has[:] = False
        self._has[list(self._labels)] = True
        return list(self._labels)

    def of(self, block: SampleBlock) -> ObjectBlock | None:
        """The labels that a block of samples brings, in its order. A number without a label is told as the integer it is,
        uncertain; before the first usable number there is none."""
        if not self._labels:
            return None
        rows = block.tag.astype(np.intp) - self._first_tag
        places, values, qualities = [], [], []
        for place in np.flatnonzero(self._has[rows]).tolist():
            row, quality = int(rows[place]), int(block.quality[place])
            if quality >= USABLE_FROM or row in self._told:
                value, code = self._label(row, float(block.value[place]), quality)
                places.append(place)
                values.append(value)
                qualities.append(code)
                self._told.add(row)
        if not places:
            return None
        return ObjectBlock(block.tag[places], block.time[places], values, np.array(qualities, np.uint8))

    def past(self, block: SampleBlock) -> ObjectBlock | None:
        """The same of samples of the past, whatever was told of the present."""
        now, self._told = self._told, set()
        try:
            return self.of(block)
        finally:
            self._told = now

    def _label(self, row: int, value: float, quality: int) -> tuple[Any, int]:
        if quality < USABLE_FROM:
            return None, quality
        label = self._labels[row].get(int(value)) if value.is_integer() else None
        if label is not None:
            return label, quality
        return int(value) if value.is_integer() else value, min(quality, int(Quality.UNCERTAIN_RANGE))


def labels_in(properties: Mapping[str, Any]) -> Mapping[int, str]:
    """Labels by value, from the properties EnumStrings, EnumValues, or TrueState and FalseState of a data type or variable
    (OPC UA Part 3, 5.8.3; Part 8, 5.3.3), each already as text."""
    strings: Sequence[str] = properties.get("EnumStrings") or ()
    pairs: Sequence[tuple[int, str]] = properties.get("EnumValues") or ()
    labels = dict(enumerate(strings)) | dict(pairs)
    for name, value in (("FalseState", 0), ("TrueState", 1)):
        if properties.get(name):
            labels[value] = properties[name]
    return labels
