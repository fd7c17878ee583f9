"""Computed tags: the samples of formulas, from those of their operands."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gateway.core.blocks import Mask, ObjectBlock, Rows, SampleBlock, TagIds, Values
from gateway.core.formula.tag import FormulaTag
from gateway.core.formula.tree import Node, evaluate
from gateway.core.quality import USABLE_FROM, Quality
from gateway.core.tag_move import TagMove
from gateway.core.tags import TagTable

_EXACT = 2.0**53


class Formulas:
    """The computed tags of all devices. Columns in, columns out; the state is the last sample of each operand.

    Operands that are polled give one sample for each poll, once all of them have come from it. Operands that a device sends
    when they change give one at each change, with what the others are meanwhile. The sample has the time of its newest
    operand and the quality of its worst one. Nothing is computed while an operand is unknown, and nothing for samples of
    the past: those come tag by tag.
    """

    def __init__(self, table: TagTable, formulas: Sequence[FormulaTag]) -> None:
        """Begin with all operands unknown."""
        by_device: dict[int, list[FormulaTag]] = defaultdict(list)
        for formula in formulas:
            by_device[table.tags[formula.tag].device].append(formula)
        self._devices = {device: _DeviceFormulas(table.range_of(device), own) for device, own in by_device.items()}
        self._device_of = np.array([tag.device for tag in table.tags], np.intp)

    def take_over(self, other: "Formulas", move: TagMove) -> None:
        """Go on with the operands of another one, for devices that stay as they are."""
        for before, now in move.devices.items():
            if before in other._devices:
                self._devices[now].take_over(other._devices[before])

    def push(self, block: SampleBlock) -> Sequence[SampleBlock]:
        """Take samples as a source delivers them; return the samples of the computed tags that they lead to."""
        if not self._devices or not len(block) or block.history:
            return ()
        return [computed for device, rows in self._by_device(block.tag) for computed in device.push(block, rows)]

    def push_objects(self, block: ObjectBlock) -> Sequence[SampleBlock]:
        """Take values that are no numbers: an operand that has become a text is bad (not_numeric).

        Integers beyond 2^53 come as samples too, and change nothing here.
        """
        if not self._devices or not len(block) or block.history:
            return ()
        wanted = [row for row, value in enumerate(block.value) if type(value) not in (int, float)]
        if not wanted:
            return ()
        quality = np.minimum(block.quality[wanted], np.uint8(Quality.BAD_NOT_NUMERIC))
        return self.push(SampleBlock(block.tag[wanted], block.time[wanted], np.full(len(wanted), np.nan), quality))

    def forget(self, tags: TagIds) -> None:
        """Make operands unknown until their next sample: their device is away."""
        if self._devices and tags.size:
            for device, rows in self._by_device(tags):
                device.forget(tags[rows])

    def _by_device(self, tags: TagIds) -> Iterator[tuple["_DeviceFormulas", Rows]]:
        """Yield the devices with formulas, each with the rows that are its own."""
        numbers = self._device_of[tags]
        if numbers[0] == numbers[-1] and (numbers == numbers[0]).all():
            if (device := self._devices.get(int(numbers[0]))) is not None:
                yield device, np.arange(tags.size)
            return
        for number in np.unique(numbers).tolist():
            if (device := self._devices.get(number)) is not None:
                yield device, np.flatnonzero(numbers == number)


@dataclass(slots=True)
class _Group:
    """Formulas of one device and one tree, computed together: column i of every array is formula i."""

    tree: Node
    is_polled: bool
    tags: TagIds
    operands: NDArray[np.intp]
    """[slots, formulas], places in the columns of the device."""
    computed: NDArray[np.int64]
    """The turn of the last sample."""
    cycle: NDArray[np.int64]
    """The poll of the last sample, -1 for none."""


@dataclass(slots=True)
class _Operands:
    """The last sample of each operand of a device."""

    value: Values
    quality: NDArray[np.uint8]
    time: NDArray[np.int64]
    cycle: NDArray[np.int64]
    """The poll that it comes from, -1 where that is not known."""
    turn: NDArray[np.int64]
    """When it came, as a count of pushes."""
    news: NDArray[np.int64]
    """When one came last that was not a repeated one."""
    known: Mask

    @classmethod
    def unknown(cls, count: int) -> "_Operands":
        turns = np.zeros(count, np.int64)
        return cls(
            np.full(count, np.nan),
            np.zeros(count, np.uint8),
            turns.copy(),
            np.full(count, -1, np.int64),
            turns.copy(),
            turns.copy(),
            np.zeros(count, np.bool_),
        )


@dataclass(slots=True)
class _DeviceFormulas:
    """The computed tags of one device."""

    span: tuple[int, int]
    formulas: Sequence[FormulaTag]
    _place: NDArray[np.intp] = field(init=False)
    _operands: _Operands = field(init=False)
    _groups: list[_Group] = field(init=False)
    _turn: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        used = sorted({tag for formula in self.formulas for tag in formula.operands})
        places = {tag: place for place, tag in enumerate(used)}
        self._place = np.full(self.span[1] - self.span[0], -1, np.intp)
        self._place[np.array(used, np.intp) - self.span[0]] = np.arange(len(used))
        self._operands = _Operands.unknown(len(used))
        alike: dict[tuple[Node, bool], list[FormulaTag]] = defaultdict(list)
        for formula in self.formulas:
            alike[formula.tree, formula.is_polled].append(formula)
        self._groups = [
            _Group(
                tree,
                is_polled,
                np.array([formula.tag for formula in own], np.uint32),
                np.array([[places[tag] for tag in formula.operands] for formula in own], np.intp).T.copy(),
                np.zeros(len(own), np.int64),
                np.full(len(own), -1, np.int64),
            )
            for (tree, is_polled), own in alike.items()
        ]

    def take_over(self, other: "_DeviceFormulas") -> None:
        """Go on with the state of the same formulas at another place of the tag table."""
        self._operands, self._turn = other._operands, other._turn
        for mine, theirs in zip(self._groups, other._groups, strict=True):
            mine.computed, mine.cycle = theirs.computed, theirs.cycle

    def push(self, block: SampleBlock, rows: Rows) -> Iterator[SampleBlock]:
        """Take the rows of a block that are this device's; yield the samples that they lead to."""
        places = self._place[block.tag[rows].astype(np.intp) - self.span[0]]
        rows, places = rows[places >= 0], places[places >= 0]
        if not rows.size:
            return
        for run in _runs(places, block.time[rows]):
            self._record(block, rows[run], places[run])
            for group in self._groups:
                yield from self._compute(group, repeated=block.repeated)

    def forget(self, tags: TagIds) -> None:
        """Make operands unknown."""
        places = self._place[tags.astype(np.intp) - self.span[0]]
        self._operands.known[places[places >= 0]] = False
        for group in self._groups:
            group.cycle[~self._operands.known[group.operands].all(axis=0)] = -1

    def _record(self, block: SampleBlock, rows: Rows, places: Rows) -> None:
        self._turn += 1
        held = self._operands
        held.value[places], held.quality[places] = block.value[rows], block.quality[rows]
        held.time[places], held.cycle[places] = block.time[rows], block.cycle
        held.turn[places], held.known[places] = self._turn, True
        if not block.repeated:
            held.news[places] = self._turn

    def _compute(self, group: _Group, *, repeated: bool) -> Iterator[SampleBlock]:
        held, operands = self._operands, group.operands
        turns = held.turn[operands]
        ready = (turns == self._turn).any(axis=0) & held.known[operands].all(axis=0)
        if group.is_polled and ready.any():
            ready &= self._is_one_poll(group, turns)
        same = ready & (held.news[operands] <= group.computed).all(axis=0) if repeated else np.zeros_like(ready)
        for chosen, is_same in ((same, True), (ready & ~same, False)):
            if chosen.any():
                group.computed[chosen] = self._turn
                group.cycle[chosen] = held.cycle[operands[:, chosen]].max(axis=0)
                yield self._samples(group, chosen, repeated=is_same)

    def _is_one_poll(self, group: _Group, turns: NDArray[np.int64]) -> Mask:
        """Return which formulas have all operands from one poll, of which they have no sample yet.

        An operand that is bad does not wait for its turn: a request that is known to fail is not sent at every poll.
        """
        held, operands = self._operands, group.operands
        bad = held.quality[operands] < USABLE_FROM
        cycles = held.cycle[operands]
        newest = cycles.max(axis=0)
        together = bad | ((turns > group.computed) & (cycles == newest))
        one_poll: Mask = together.all(axis=0) & ((newest != group.cycle) | (newest < 0))
        return one_poll

    def _samples(self, group: _Group, chosen: Mask, *, repeated: bool) -> SampleBlock:
        held, operands = self._operands, group.operands[:, chosen]
        quality = held.quality[operands].min(axis=0)
        usable = quality >= USABLE_FROM
        value = np.where(usable, evaluate(group.tree, [held.value[one] for one in operands]), np.nan)
        lost = usable & ~np.isfinite(value)
        quality[lost], value[lost] = Quality.BAD_NOT_A_NUMBER, np.nan
        inexact = usable & ~lost & (np.abs(value) > _EXACT)
        quality[inexact] = np.minimum(quality[inexact], np.uint8(Quality.UNCERTAIN_ROUNDED))
        return SampleBlock(group.tags[chosen], held.time[operands].max(axis=0), value, quality, repeated=repeated)


def _runs(places: Rows, times: NDArray[np.int64]) -> Iterator[Rows]:
    """Yield the rows in order of time, in parts in which each operand stands once at most."""
    if np.unique(places).size == places.size:
        yield np.arange(places.size)
        return
    order = np.argsort(times, kind="stable")
    sorted_places = places[order]
    by_place = np.argsort(sorted_places, kind="stable")
    before = np.full(places.size, -1)
    again = sorted_places[by_place[1:]] == sorted_places[by_place[:-1]]
    before[by_place[1:][again]] = by_place[:-1][again]
    latest_before = np.maximum.accumulate(before)
    start = 0
    while start < places.size:
        end = int(np.searchsorted(latest_before, start))
        yield order[start:end]
        start = end
