"""The tree of a server's nodes, as `gateway browse` shows it: for people, or as a line of JSON for each node."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Final

from gateway.core.foreign_text import clean
from gateway.core.report import Part, RawText, Styled, Tree
from gateway.sources.opcua.tools.browse_tool import BrowsedNode

_PLAIN_TYPES: Final = frozenset({"", "BaseObjectType", "FolderType"})
"""Types that say nothing more of an object."""
_NOT_SHOWN: Final = frozenset({"place", "is_variable", "number"})
_DESCRIPTION: Final = 50
_TYPE: Final = 40
"""Characters."""


def tree_of(title: str, nodes: Sequence[BrowsedNode]) -> Tree:
    """Return nodes below a line. One whose parent is not shown stands below the nearest node that is, with its path."""
    tree = Tree(title)
    branches: dict[tuple[int, ...], Tree] = {(): tree}
    for node in nodes:
        place = node.place[:-1]
        while place not in branches:
            place = place[:-1]
        branches[node.place] = branch = Tree(_line(node, ".".join(node.path[len(place) :])))
        branches[place].children.append(branch)
    return tree


def _line(node: BrowsedNode, name: str) -> tuple[Part, ...]:
    head: tuple[Part, ...] = (Styled(name, "strong"), " ", Styled(node.node, "faint"))
    description: tuple[Part, ...] = ()
    if node.description:
        description = ("  ", Styled(clean(node.description, _DESCRIPTION), "faint"))
    if not node.is_variable:
        kind: tuple[Part, ...] = () if node.of_type in _PLAIN_TYPES else (f" {clean(node.of_type, _TYPE)}",)
        return (*head, *kind, *description)
    measure: tuple[Part, ...] = (f" {node.unit}",) if node.unit else ()
    measure += (" ", Styled(node.range, "faint")) if node.range else ()
    status: tuple[Part, ...] = (" ", Styled(node.status, "bad")) if node.status else ()
    kind_and_value = (f" {clean(node.type, _TYPE)} ", Styled(clean(node.value), "value"))
    return (*head, *kind_and_value, *measure, *status, *description)


def json_lines(nodes: Sequence[BrowsedNode]) -> RawText:
    """Return a JSON object for each node, a line each, without the keys that are empty."""
    lines = []
    for node in nodes:
        shown = {key: value for key, value in asdict(node).items() if value != "" and key not in _NOT_SHOWN}
        lines.append(json.dumps({"class": "variable" if node.is_variable else "object"} | shown))
    return RawText("".join(f"{line}\n" for line in lines))
