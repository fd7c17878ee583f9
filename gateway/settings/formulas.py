"""Computed tags of a device: their formulas made into trees over tags that are read."""

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Final

from gateway.core.errors import Problem
from gateway.core.formula.config import FormulaKeys
from gateway.core.formula.parse import MOST_DEPTH, MOST_NODES, parse_formula
from gateway.core.formula.tag import FormulaTag
from gateway.core.formula.tree import Node, Operand, measure, replace_operands
from gateway.core.nearest import nearest
from gateway.core.ports.plugin import TagTraits
from gateway.settings.device_files import Device, ReadTag

_MOST_NAMED: Final = 10
_MOST_MISSING: Final = 3
"""For so many unknown names of a device others are suggested: each is compared with thousands."""


class _FormulaFault(Exception):
    """A fault of a formula as a message and what was expected."""


class _Resolver:
    """The formulas of one device, each with the formulas of its operands put in."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._read = {_key(tag.model.name): place for place, tag in enumerate(device.tags)}
        self._formulas: Mapping[str, FormulaKeys] = {_key(tag.model.name): tag.model for tag in device.formulas}
        self._done: dict[str, tuple[Node, tuple[int, ...]]] = {}

    def resolve(self, name: str, above: tuple[str, ...] = ()) -> tuple[Node, tuple[int, ...]]:
        """Return the tree of a formula and the places of its operands among the tags that are read.

        Raises _FormulaFault; KeyError for an operand that is no tag.
        """
        key = _key(name)
        if key in above:
            raise _FormulaFault(f"needs its own value: {' -> '.join([*above, key])}", "tags that do not need each other")
        if len(above) > MOST_DEPTH:
            raise _FormulaFault(f"rests on more than {MOST_DEPTH} other formulas", "a simpler formula")
        if key not in self._done:
            self._done[key] = self._put_together(key, (*above, key))
        return self._done[key]

    def _put_together(self, key: str, above: tuple[str, ...]) -> tuple[Node, tuple[int, ...]]:
        formula = parse_formula(self._formulas[key].formula)
        places: dict[int, int] = {}
        parts: list[Node] = []
        for operand in formula.operands:
            if (read := self._read.get(_key(operand))) is not None:
                parts.append(Operand(places.setdefault(read, len(places))))
            elif _key(operand) in self._formulas:
                tree, own = self.resolve(operand, above)
                parts.append(replace_operands(tree, [Operand(places.setdefault(place, len(places))) for place in own]))
            else:
                raise KeyError(operand)
        tree = replace_operands(formula.tree, parts)
        nodes, depth = measure(tree)
        if nodes > MOST_NODES or depth > 2 * MOST_DEPTH:
            raise _FormulaFault(f"has {nodes} steps with the formulas of its tags", f"at most {MOST_NODES}")
        return tree, tuple(places)


def _key(name: str) -> str:
    """Return a name as Python reads identifiers: in Unicode's form NFKC."""
    return unicodedata.normalize("NFKC", name)


def resolve_formulas(device: Device, first_tag: int, first_formula: int) -> list[FormulaTag]:
    """Return the formulas of a device without problems.

    first_tag, first_formula: the tag ids of the first tag that is read, and of the first that is computed.
    """
    resolver = _Resolver(device)
    found = []
    for row, tag in enumerate(device.formulas):
        try:
            tree, places = resolver.resolve(tag.model.name)
        except KeyError:
            continue  # a tag of the device that was not found on it yet: there is a warning
        interval_ns = _interval_ns(device, places[0])
        operands = tuple(first_tag + place for place in places)
        found.append(FormulaTag(first_formula + row, tree, operands, is_polled=interval_ns > 0))
    return found


def interval_of_formulas(device: Device) -> list[int]:
    """Return how often each formula of a device without problems has a sample, ns; 0 where the device decides."""
    resolver = _Resolver(device)
    intervals = []
    for tag in device.formulas:
        try:
            intervals.append(_interval_ns(device, resolver.resolve(tag.model.name)[1][0]))
        except KeyError:
            intervals.append(0)
    return intervals


def check_formulas(device: Device, problems: list[Problem], warnings: list[str]) -> None:
    """Check the formulas of a device against its tags, and add each fault to the problems, with its file and line.

    Where tags are searched on the device itself, a name that is not known is only a warning: the device may have it soon.
    """
    resolver, missing, tags = _Resolver(device), 0, device.all_tags
    for tag in device.formulas:
        try:
            _, places = resolver.resolve(tag.model.name)
            fault = _fault_of_operands(device, places)
        except _FormulaFault as error:
            fault = error.args
        except KeyError as unknown:
            operand = unknown.args[0]
            if operand in device.names:  # a tag with faults of its own
                continue
            if device.finds_tags:
                warnings.append(
                    f"{tag.file.name}:{tag.file.line(tag.path)}: formula: {operand!r} is not a tag of this device as far as "
                    f"is known: {tag.model.name} has no value until it is found"
                )
                continue
            missing += 1
            hint = _hint(operand, tags, suggest=missing <= _MOST_MISSING)
            fault = f"{operand!r} is not a tag of this device", hint
        if fault is not None:
            problems.append(tag.file.problem((*tag.path, "formula"), *fault))


def _fault_of_operands(device: Device, places: Sequence[int]) -> tuple[str, str] | None:
    texts = [device.tags[place].model.name for place in places if _traits(device, place).is_text]
    if texts:
        return f"{texts[0]!r} is no number", "tags with numbers"
    intervals = {_interval_ns(device, place): device.tags[place].model.name for place in places}
    if len(intervals) > 1:
        when = {ns: f"every {ns / 1e9:g} s" if ns else "when it changes" for ns in intervals}
        shown = ", ".join(f"{name} {when[ns]}" for ns, name in intervals.items())
        return f"its tags are not read together: {shown}", "one interval for all of them: values of one poll belong together"
    return None


def _interval_ns(device: Device, place: int) -> int:
    return _traits(device, place).interval_ns


def _traits(device: Device, place: int) -> TagTraits:
    traits: TagTraits = device.plugin.traits(device.config, device.tags[place].model)
    return traits


def _hint(name: str, tags: Sequence[ReadTag], *, suggest: bool) -> str:
    names = [tag.model.name for tag in tags]
    close = nearest(name, names) if suggest else ""
    more = " ..." if len(names) > _MOST_NAMED else ""
    return f"{close}?" if close else f"one of {', '.join(names[:_MOST_NAMED])}{more}"
