"""Values in tables: arrays and structures folded to what a line holds. Pure."""

from collections.abc import Mapping
from typing import Final

_WHOLE: Final = 6
"""Elements of an array that is shown whole."""
_FIRST: Final = 3
"""Elements that are shown of a longer one."""
_FIELDS: Final = 20
_LONGEST: Final = 200
"""Characters of a folded value."""


def folded(value: object) -> str:
    """Return a value as text: the first elements of arrays and how many there are, structures cut; texts as they are."""
    if not isinstance(value, list | tuple | Mapping):
        return str(value)
    text = _folded(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _folded(value: object) -> str:
    if isinstance(value, Mapping):
        shown = [f"{key}: {_folded(one)}" for key, one in list(value.items())[:_FIELDS]]
        return f"{{{', '.join(shown)}{', …' if len(value) > _FIELDS else ''}}}"
    if not isinstance(value, list | tuple):
        return repr(value) if isinstance(value, str | bytes) else str(value)
    if len(value) <= _WHOLE:
        return f"[{', '.join(map(_folded, value))}]"
    return f"[{', '.join(map(_folded, value[:_FIRST]))}, … {len(value)} elements]"
