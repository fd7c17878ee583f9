"""What nodes were called when they were first read: by that it shows that a NodeId means another node now."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import structlog

from gateway.core.ports.watermarks import Watermarks
from gateway.sources.opcua.config.browse_path import PathStep
from gateway.sources.opcua.config.device import OpcUaDevice, OpcUaTag

log = structlog.get_logger("opcua")


class NodeNames:
    """Browse names of the nodes of one device, by address as configured. Lasts longer than a session."""

    def __init__(self) -> None:
        self._names: dict[str, PathStep] = {}

    def load(self) -> None:
        """Recall what earlier runs knew; a call when a session begins. There is nothing of that here."""

    def compare(self, names: Mapping[str, PathStep]) -> set[str]:
        """Return the addresses whose nodes have other names than at first; keep the names of those that are new."""
        renamed = {text for text, name in names.items() if self._names.setdefault(text, name) != name}
        for text in sorted(renamed):
            was, now = self._names[text].name, names[text].name
            log.warning("node is another one than before and is not read", node=text, was=was, now=now)
        return renamed


class KeptNodeNames(NodeNames):
    """The same over restarts of the gateway, for the nodes of its tags.

    What is kept is kept for a tag with its address: where one of them is another, or the server's URL, the user has decided
    anew, and the name that is read then is right. So is that of a tag which was taken out for one start or reload.
    """

    def __init__(self, watermarks: Watermarks, device: OpcUaDevice, tags: Sequence[OpcUaTag]) -> None:
        """Begin with nothing recalled, because nothing can be loaded before the outbox is open."""
        super().__init__()
        self._watermarks = watermarks
        self._key = f"opcua/names/{device.name}"
        self._url = device.url
        self._tags = tags
        self._is_loaded = False
        self._kept = 0

    def load(self) -> None:
        """Recall the names that were kept for tags which still have the same address."""
        if self._is_loaded:
            return
        self._is_loaded = True
        stored = self._watermarks.load(self._key)
        kept = _parsed(stored.value if stored is not None else b"", self._url)
        for tag in self._tags:
            address, step = kept.get(tag.name, ("", None))
            if step is not None and address == tag.node:
                self._names[address] = step
        self._kept = len(self._names)
        if stored is not None:
            self._put()

    def compare(self, names: Mapping[str, PathStep]) -> set[str]:
        """Compare as `NodeNames.compare` does; the names of nodes that are new are kept."""
        renamed = super().compare(names)
        if len(self._names) > self._kept:
            self._kept = len(self._names)
            self._put()
        return renamed

    def _put(self) -> None:
        kept = {tag.name: [tag.node, *self._names[tag.node]] for tag in self._tags if tag.node in self._names}
        self._watermarks.put(self._key, json.dumps({"url": self._url, "tags": kept}).encode())


def _parsed(content: bytes, url: str) -> dict[str, tuple[str, PathStep | None]]:
    """Return address and browse name by tag; nothing of what is kept for another server, or damaged."""
    try:
        document: Any = json.loads(content or b"{}")
        if document.get("url") != url:
            return {}
        return {
            str(tag): (str(address), PathStep(int(namespace), str(uri), str(name)))
            for tag, (address, namespace, uri, name) in document["tags"].items()
        }
    except (ValueError, TypeError, KeyError, AttributeError):
        return {}
