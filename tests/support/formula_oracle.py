"""Computed tags, sample by sample: slow and obvious, written from what docs/formulas.md promises."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from gateway.core.quality import USABLE_FROM, Quality


@dataclass
class Operand:
    """What is known of an operand."""

    value: float
    quality: int
    time: int
    cycle: int


@dataclass
class OneFormula:
    """A formula: its operands by tag id, and what it makes of their values."""

    tag: int
    operands: Sequence[int]
    compute: Callable[..., float | None]
    is_polled: bool
    pending: set[int] = field(default_factory=set)
    """Operands with a sample since the last one of the formula."""
    cycle: int | None = None


Sampled = tuple[int, int, float, int]
"""Tag, time, value, quality."""


class SlowFormulas:
    """All formulas of one device."""

    def __init__(self, formulas: Sequence[OneFormula]) -> None:
        self.formulas = formulas
        self.operands: dict[int, Operand] = {}

    def push(self, rows: Sequence[Sampled], cycle: int) -> list[Sampled]:
        """Take the rows of one block; return the samples of formulas."""
        used = {tag for formula in self.formulas for tag in formula.operands}
        made: list[Sampled] = []
        part: dict[int, Sampled] = {}
        for row in sorted((row for row in rows if row[0] in used), key=lambda row: row[1]):
            if row[0] in part:
                made += self._take(list(part.values()), cycle)
                part = {}
            part[row[0]] = row
        return made + (self._take(list(part.values()), cycle) if part else [])

    def forget(self, tag: int) -> None:
        self.operands.pop(tag, None)
        for formula in self.formulas:
            if tag in formula.operands:
                formula.cycle = None

    def _take(self, rows: Sequence[Sampled], cycle: int) -> list[Sampled]:
        for tag, time, value, quality in rows:
            self.operands[tag] = Operand(value, quality, time, cycle)
            for formula in self.formulas:
                if tag in formula.operands:
                    formula.pending.add(tag)
        touched = {row[0] for row in rows}
        return [
            self._sample(formula) for formula in self.formulas if touched & set(formula.operands) and self._is_ready(formula)
        ]

    def _is_ready(self, formula: OneFormula) -> bool:
        if not all(tag in self.operands for tag in formula.operands):
            return False
        if not formula.is_polled:
            return True
        newest = max(self.operands[tag].cycle for tag in formula.operands)
        for tag in formula.operands:
            operand = self.operands[tag]
            if operand.quality >= USABLE_FROM and (tag not in formula.pending or operand.cycle != newest):
                return False
        return newest < 0 or newest != formula.cycle

    def _sample(self, formula: OneFormula) -> Sampled:
        operands = [self.operands[tag] for tag in formula.operands]
        formula.pending.clear()
        formula.cycle = max(operand.cycle for operand in operands)
        quality = min(operand.quality for operand in operands)
        time = max(operand.time for operand in operands)
        if quality < USABLE_FROM:
            return formula.tag, time, math.nan, quality
        value = formula.compute(*(operand.value for operand in operands))
        if value is None or not math.isfinite(value):
            return formula.tag, time, math.nan, int(Quality.BAD_NOT_A_NUMBER)
        if abs(value) > 2**53:
            quality = min(quality, int(Quality.UNCERTAIN_ROUNDED))
        return formula.tag, time, value, quality
