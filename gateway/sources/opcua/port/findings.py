"""What `browse` finds: the tags, and what of the server becomes none, counted by reason. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from gateway.core.foreign_text import clean
from gateway.core.plural import counted
from gateway.sources.opcua.port.units import EngineeringUnit

NAMED: Final = 8
"""Names that are kept of each reason."""


@dataclass(frozen=True, slots=True)
class FoundTag:
    """A variable that `browse` of the configuration makes a tag."""

    path: tuple[str, ...]
    """Browse names from below the root; the last one is the variable's own."""
    node: str
    """NodeId by namespace URI, which stays true when the server reorders its namespaces."""
    measure: EngineeringUnit = EngineeringUnit()  # noqa: RUF009 - immutable
    """Unit and range."""


@dataclass(slots=True)
class LeftOut:
    """What became no tag for one reason: how many, and the first names."""

    count: int = 0
    """All of them."""
    names: list[str] = field(default_factory=list)
    """The first ones, at most `NAMED`."""

    def add(self, name: str) -> None:
        """Count one more."""
        self.count += 1
        if len(self.names) < NAMED:
            self.names.append(name)

    def merge(self, other: "LeftOut") -> None:
        """Count what another one has counted."""
        self.count += other.count
        self.names += other.names[: NAMED - len(self.names)]

    def __bool__(self) -> bool:
        return self.count > 0

    def __str__(self) -> str:
        return f"{', '.join(map(clean, self.names))}{', ...' if self.count > len(self.names) else ''}"


@dataclass(slots=True)
class Findings:
    """Tags, each once, in the order of the tree; and the rest by reason."""

    tags: list[FoundTag] = field(default_factory=list)
    """What becomes a tag."""
    beyond: LeftOut = field(default_factory=LeftOut)
    """Beyond an entry's ceiling (most)."""
    no_numbers: LeftOut = field(default_factory=LeftOut)
    """No single numbers (values)."""
    by_members: LeftOut = field(default_factory=LeftOut)
    """Structures and arrays whose members are there (members)."""
    properties: LeftOut = field(default_factory=LeftOut)
    """Properties of variables (properties)."""
    unwanted: LeftOut = field(default_factory=LeftOut)
    """Neither by their names nor by the types they lie in (include, exclude, type)."""
    unopened: LeftOut = field(default_factory=LeftOut)
    """Objects on the last level that is looked at (depth)."""
    roots: dict[str, str] = field(default_factory=dict)
    """Browse path of each root that is given by a number, by this address."""
    ended: bool = False
    """A walk had to end before its time."""

    @property
    def is_cut(self) -> bool:
        """Return whether there is more than the ceilings allow."""
        return bool(self.beyond) or self.ended

    def reasons(self) -> Iterator[str]:
        """Yield, for each reason, how many variables became no tag, in words with the key that decides."""
        for left, noun, why in (
            (self.beyond, "variable", "beyond most"),
            (self.no_numbers, "variable", "not a single number (values)"),
            (self.by_members, "structure or array", "told by the variables below it (members)"),
            (self.properties, "property", "of a variable (properties)"),
            (self.unwanted, "variable", "not wanted by include, exclude or type"),
            (self.unopened, "object", "not looked into (depth)"),
        ):
            if left:
                plural = {"property": "properties", "structure or array": "structures or arrays"}.get(noun, "")
                yield f"{counted(left.count, noun, plural)} {why}: {left}"
        if self.ended:
            yield "everything beyond the nodes that one walk visits"
