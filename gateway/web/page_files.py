"""The files of the page, from the package, each with its type and the tag that tells browsers when it has changed."""

import hashlib
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class PageFile:
    """One file."""

    content: bytes
    """As it is sent."""
    content_type: str
    """Its type."""
    etag: str
    """Changes with its content."""


def read_page() -> dict[str, PageFile]:
    """Return each file of the page by its path, `/` for the page itself. Blocks: for a thread."""
    found = {}
    folder = files("gateway.web") / "page"
    places = [(f"/page/{item.name}", item) for item in folder.iterdir() if item.is_file()]
    places += [(f"/page/vendor/{item.name}", item) for item in (folder / "vendor").iterdir() if item.is_file()]
    for path, item in places:
        kind = _TYPES.get(path[path.rfind(".") :])
        if kind is not None:
            content = item.read_bytes()
            found[path] = PageFile(content, kind, f'"{hashlib.sha256(content).hexdigest()[:16]}"')
    found["/"] = found.pop("/page/index.html")
    return found
