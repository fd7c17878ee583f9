"""Labels of enumerations: the texts that numbers stand for (OPC UA Part 3, 5.8.3; Part 8, 5.3.3). Pure."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np

from gateway.core.blocks import ObjectBlock, SampleBlock
from gateway.core.quality import USABLE_FROM, Quality
from gateway.core.retry_timer import RetryTimers
from gateway.sources.opcua.codec.columns import EXACT

FIRST_RETRY_S: Final = 60.0
MOST_RETRY_S: Final = 1800.0


class BitNames(Mapping[int, list[str | int]]):
    """The names of the bits that are set in a number, lowest first; a bit without a name stands as its number.

    A mapping by number; its length is that of the names.
    """

    def __init__(self, names: Mapping[int, str]) -> None:
        """Take the names by bit, 0 being the lowest."""
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
    """The labels of a device's tags. It makes them of samples; whether one has changed is not decided here."""

    def __init__(self, first_tag: int, tags: int) -> None:
        """Begin without labels. first_tag: id of the device's first tag; tags: how many it has."""
        self._first_tag = first_tag
        self._labels: dict[int, Mapping[int, object]] = {}
        self._has = np.zeros(tags, np.bool_)
        self._labelled: set[int] = set()

    def learn(self, labels: Iterable[tuple[int, Mapping[int, object]]]) -> list[int]:
        """Set the labels of tags by row, empty for none. Returns the rows of those that have some."""
        some = dict(labels)
        for row, known in some.items():
            self._has[row] = bool(known)
            self._labels[row] = known
            self._labelled.discard(row)
        return [row for row, known in some.items() if known]

    def of(self, block: SampleBlock) -> ObjectBlock | None:
        """Return the labels of a block of samples, in its order; None without any.

        A number without a label becomes the integer itself, uncertain; before the first usable number there is none.
        """
        if not self._has.any():
            return None
        rows = block.tag.astype(np.intp) - self._first_tag
        places, values, qualities = [], [], []
        for place in np.flatnonzero(self._has[rows]).tolist():
            row, quality = int(rows[place]), int(block.quality[place])
            if abs(block.value[place]) >= EXACT:  # the integer itself is an object of the block; here it is rounded
                continue
            if quality >= USABLE_FROM or row in self._labelled:
                value, code = self._label(row, float(block.value[place]), quality)
                places.append(place)
                values.append(value)
                qualities.append(code)
                self._labelled.add(row)
        if not places:
            return None
        return ObjectBlock(block.tag[places], block.time[places], values, np.array(qualities, np.uint8))

    def past(self, block: SampleBlock) -> ObjectBlock | None:
        """Return the labels of samples of the past, independent of those of the present."""
        now, self._labelled = self._labelled, set()
        try:
            return self.of(block)
        finally:
            self._labelled = now

    def _label(self, row: int, value: float, quality: int) -> tuple[Any, int]:
        if quality < USABLE_FROM:
            return None, quality
        label = self._labels[row].get(int(value)) if value.is_integer() else None
        if label is not None:
            return label, quality
        return int(value) if value.is_integer() else value, min(quality, int(Quality.UNCERTAIN_RANGE))


class LabelRetries:
    """Rows of items whose labels the server did not give, and when to ask again. Times are monotonic seconds.

    The first time after a minute, then after twice as long each time up to half an hour.
    """

    def __init__(self) -> None:
        self._timers: RetryTimers[int] = RetryTimers(FIRST_RETRY_S, MOST_RETRY_S)

    def __bool__(self) -> bool:
        return bool(len(self._timers))

    def clear(self, rows: Iterable[int]) -> None:
        """Forget these: their labels are known."""
        self._timers.clear(rows)

    def refused(self, rows: Iterable[int], now_s: float) -> None:
        """Start the timers of these again."""
        for row in rows:
            self._timers.failed(row, now_s)

    def due(self, now_s: float, bad_rows: Collection[int]) -> list[int]:
        """Return the rows to ask for now, ascending, without those whose nodes are bad; these are due once they are not."""
        self._timers.hurry(now_s, bad_rows, keeps_delay=True)
        return sorted(row for row in self._timers.due(now_s) if row not in bad_rows)


def labels_in(properties: Mapping[str, Any]) -> Mapping[int, object]:
    """Return labels by value from the properties of a data type or variable, each already as text.

    The properties are EnumStrings, EnumValues, OptionSetValues, or TrueState and FalseState (Part 3, 5.8.3; Part 8, 5.3.3).
    """
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
    """Return names of bits from the property OptionSetValues; a bit without a text is not used (Part 3, 5.8.3)."""
    names: Sequence[str] = properties.get("OptionSetValues") or ()
    return {bit: name for bit, name in enumerate(names) if name}
