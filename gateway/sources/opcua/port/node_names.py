"""What nodes were called when they were first read: by that it shows that a NodeId means another node now. Pure."""

from collections.abc import Mapping

import structlog

from gateway.sources.opcua.config.browse_path import PathStep

log = structlog.get_logger("opcua")


class NodeNames:
    """Browse names of the nodes of one device, by address as configured. Lasts longer than a session."""

    def __init__(self) -> None:
        self._names: dict[str, PathStep] = {}

    def compare(self, names: Mapping[str, PathStep]) -> set[str]:
        """Return the addresses whose nodes have other names than at first; keep the names of those that are new."""
        renamed = {text for text, name in names.items() if self._names.setdefault(text, name) != name}
        for text in sorted(renamed):
            was, now = self._names[text].name, names[text].name
            log.warning("node is another one than before and is not read", node=text, was=was, now=now)
        return renamed
