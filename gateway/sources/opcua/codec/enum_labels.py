"""The labels of enumerations, told as text beside their numbers. Pure."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np

from gateway.core.blocks import ObjectBlock, SampleBlock
from gateway.core.quality import USABLE_FROM, Quality
from gateway.sources.opcua.codec.columns import EXACT

FIRST_RETRY_S: Final = 60.0
MOST_RETRY_S: Final = 1800.0


class BitNames(Mapping[int, list[str | int]]):
    """What numbers mean whose bits have names: the names of the bits that are set, lowest first, a bit's number where it
    has none. Its length is that of the names."""

    def __init__(self, names: Mapping[int, str]) -> None:
        self._names = names

    def __getitem__(self, number: int) -> list[str | int]:
        if number < 0:
            raise KeyError(number)
        return [self._names.get(bit, bit) for bit in range(number.bit_length()) if number >> bit & 1]

    def __iter__(self) -> Iterator[int]:
        return (1 << bit for bit in self._names)

    def __len__(self) -> int:
        return len(self._names)


class Labels:
    """Whose numbers have labels, and of which one was told. Whether it is news is not decided here."""

    def __init__(self, first_tag: int, tags: int) -> None:
        self._first_tag = first_tag
        self._labels: dict[int, Mapping[int, object]] = {}
        self._has = np.zeros(tags, np.bool_)
        self._told: set[int] = set()

    def learn(self, labels: Iterable[tuple[int, Mapping[int, object]]]) -> list[int]:
        """Labels of tags by row, empty for none. Returns the rows of these that have some."""
        some = dict(labels)
        for row, known in some.items():
            self._has[row] = bool(known)
            self._labels[row] = known
            self._told.discard(row)
        return [row for row, known in some.items() if known]

    def of(self, block: SampleBlock) -> ObjectBlock | None:
        """The labels that a block of samples brings, in its order. A number without a label is told as the integer it is,
        uncertain; before the first usable number there is none."""
        if not self._has.any():
            return None
        rows = block.tag.astype(np.intp) - self._first_tag
        places, values, qualities = [], [], []
        for place in np.flatnonzero(self._has[rows]).tolist():
            row, quality = int(rows[place]), int(block.quality[place])
            if abs(block.value[place]) >= EXACT:  # the integer itself is told as an object; here it is rounded
                continue
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


class Unasked:
    """Rows of items whose labels the server would not tell, and when to ask again. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._delays: dict[int, float] = {}
        self._due_s: dict[int, float] = {}

    def __bool__(self) -> bool:
        return bool(self._due_s)

    def told(self, rows: Iterable[int]) -> None:
        """These are known."""
        for row in rows:
            self._delays.pop(row, None)
            self._due_s.pop(row, None)

    def refused(self, rows: Iterable[int], now_s: float) -> None:
        """Ask again in a minute, then after twice as long each time up to half an hour."""
        for row in rows:
            self._delays[row] = delay_s = min(2 * self._delays.get(row, FIRST_RETRY_S / 2), MOST_RETRY_S)
            self._due_s[row] = now_s + delay_s

    def due(self, now_s: float, bad_rows: Collection[int]) -> list[int]:
        """Rows to ask for now, ascending: none whose node is bad, and at once those whose node was."""
        for row in self._due_s.keys() & set(bad_rows):
            self._due_s[row] = now_s
        return sorted(row for row, due_s in self._due_s.items() if due_s <= now_s and row not in bad_rows)


def labels_in(properties: Mapping[str, Any]) -> Mapping[int, object]:
    """Labels by value, from the properties EnumStrings, EnumValues, OptionSetValues, or TrueState and FalseState of a data
    type or variable (OPC UA Part 3, 5.8.3; Part 8, 5.3.3), each already as text."""
    if bits := bits_in(properties):
        return BitNames(bits)
    strings: Sequence[str] = properties.get("EnumStrings") or ()
    pairs: Sequence[tuple[int, str]] = properties.get("EnumValues") or ()
    labels = dict(enumerate(strings)) | dict(pairs)
    for name, value in (("FalseState", 0), ("TrueState", 1)):
        if properties.get(name):
            labels[value] = properties[name]
    return labels


def bits_in(properties: Mapping[str, Any]) -> Mapping[int, str]:
    """Names of bits, from the property OptionSetValues; a bit without a text is not used (Part 3, 5.8.3)."""
    names: Sequence[str] = properties.get("OptionSetValues") or ()
    return {bit: name for bit, name in enumerate(names) if name}
