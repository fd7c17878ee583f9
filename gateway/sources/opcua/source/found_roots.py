"""Roots of `browse` that are given by a number: which node each was when it was first asked, kept beside what was found."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gateway.core.private_files import write_private
from gateway.sources.opcua.config.device import OpcUaDevice
from gateway.sources.opcua.port.errors import NotFound


def roots_path(device: OpcUaDevice) -> Path:
    """Return where it is kept which nodes the roots of a device are."""
    return Path(device.found) / "roots" / f"{device.name}.json"


def settle_roots(device: OpcUaDevice, roots: Mapping[str, str]) -> None:
    """Compare the browse paths of roots with those that are kept, and keep those that are new. Blocks.

    roots: path by root, of those that are numbers. Raises NotFound where a number is another node now, so that what is
    below it does not run under the names of what was below the first one; OSError where nothing can be kept.
    """
    path = roots_path(device)
    if not roots and not path.is_file():
        return
    kept = _parsed(path, device.url)
    for root, now in roots.items():
        if (was := kept.get(root, now)) != now:
            raise NotFound(
                f"{root} is another node than before: it was {was} and is {now}; write the path as root, or remove {path} "
                "if the node was only renamed or moved"
            )
    wanted = {one.root for one in device.browse}
    known = {root: where for root, where in {**kept, **roots}.items() if root in wanted}
    if known != kept:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_private(path, json.dumps({"url": device.url, "roots": known}).encode())


def _parsed(path: Path, url: str) -> dict[str, str]:
    """Return path by root; nothing of what is kept for another server, or damaged."""
    try:
        document: Any = json.loads(path.read_bytes())
        if document.get("url") != url:
            return {}
        return {str(root): str(where) for root, where in document["roots"].items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}
