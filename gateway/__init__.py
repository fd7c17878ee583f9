"""Field devices in, honest one-second windows out over MQTT."""

from functools import cache
from typing import Any, Final

__all__ = ["DISTRIBUTION", "__version__"]

DISTRIBUTION: Final = "industrial-data-gateway"
"""Name that pip knows it by; the package and the command are called `gateway`."""


def __getattr__(name: str) -> str:
    """Return `__version__`, looked up when somebody asks: it costs a tenth of a `--help`.

    Release and commit, as PEP 440 writes them: 0.2.0 for a tagged release, 0.2.0.dev502+g38a923041 on the way to it. An
    editable installation (a checkout) would go on naming the commit that it was installed from: there git is asked for the
    commit that runs, with `.dirty` where files differ from it, and `+unknown` stands where git cannot say.
    """
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        installed = distribution(DISTRIBUTION)
    except PackageNotFoundError:  # a bare checkout on sys.path
        return "0+unknown"
    if not _is_editable(installed):
        return installed.version
    return f"{installed.version.partition('+')[0]}+{_commit_now() or 'unknown'}"


def _is_editable(installed: Any) -> bool:
    """Whether the installation only points at a checkout (PEP 610, direct_url.json)."""
    import json

    origin = json.loads(installed.read_text("direct_url.json") or "{}")
    return bool(origin.get("dir_info", {}).get("editable"))


@cache
def _commit_now() -> str:
    """Return the commit of the checkout this file lies in, as g38a923041 or g38a923041.dirty; empty where git cannot say."""
    import subprocess
    from pathlib import Path

    checkout = Path(__file__).parents[1]
    if not (checkout / ".git").exists():  # a tree of its own, or one within somebody else's repository
        return ""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=9", "--exclude=*"]
    try:
        said = subprocess.run(  # noqa: S603 - a fixed command
            command, cwd=checkout, capture_output=True, text=True, timeout=5, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return f"g{said.stdout.strip().replace('-', '.')}"
