"""A tag whose value is computed from other tags of its device."""

from dataclasses import dataclass

from gateway.core.formula.tree import Node


@dataclass(frozen=True, slots=True)
class FormulaTag:
    """A computed tag of the configuration."""

    tag: int
    """Its row in the tag table."""
    tree: Node
    """Its formula."""
    operands: tuple[int, ...]
    """Tag ids of its operands, by slot; all of them are read from the device."""
    is_polled: bool
    """The operands are read at one interval, and those of one poll belong together; else each is valid until it changes."""
