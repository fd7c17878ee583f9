"""The network interfaces of the machine: which have a link."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

SYSFS: Final = Path("/sys")
_MOST: Final = 64
_DOWN: Final = ("down", "lowerlayerdown", "notpresent", "dormant")


def links(sysfs: Path = SYSFS) -> Mapping[str, bool]:
    """Return for each interface whether it has a link; those that do not say so are left out.

    Those of hardware; where there are none, as in a container, all but the loopback.
    """
    try:
        found = sorted((sysfs / "class" / "net").iterdir())[:_MOST]
    except OSError:
        return {}
    hardware = [one for one in found if (one / "device").exists()]
    states = {one.name: _has_link(one) for one in hardware or found if one.name != "lo"}
    return {name: state for name, state in states.items() if state is not None}


def _has_link(interface: Path) -> bool | None:
    state = _text(interface / "operstate")
    if state == "up":
        return True
    if state in _DOWN:
        return False
    carrier = _text(interface / "carrier")  # drivers without an operational state say `unknown`
    return carrier == "1" if carrier in ("0", "1") else None


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""
