"""The query of a request: typed, bounded, and without keys that nobody knows."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from gateway.core.blocks import TagIds
from gateway.core.errors import PeerError

_LONGEST: Final = 256


class BadQuery(PeerError):
    """A question that makes no sense."""

    def __init__(self, text: str, expected: str = "", status: int = 400) -> None:
        """status: of HTTP."""
        self.expected, self.status = expected, status
        super().__init__(text)


class Query:
    """The keys of one query, each asked for once; `end` refuses those that were not."""

    def __init__(self, given: Mapping[str, str]) -> None:
        self._given = dict(given)
        self._known: list[str] = []

    def _take(self, key: str) -> str:
        self._known.append(key)
        return self._given.pop(key, "")

    def text(self, key: str) -> str:
        """Return a text, empty when it is not there."""
        value = self._take(key)
        if len(value) > _LONGEST:
            raise BadQuery(f"{key} is longer than {_LONGEST} characters")
        return value

    def choice(self, key: str, among: Sequence[str]) -> str:
        """Return one of the choices, empty when it is not there."""
        value = self._take(key)
        if value and value not in among:
            raise BadQuery(f"{key}={value!r} is not known", " or ".join(among))
        return value

    def number(self, key: str, default: int, most: int) -> int:
        """Return a whole number from 0 to `most`."""
        value = self._take(key)
        if not value:
            return default
        if not (value.isascii() and value.isdecimal() and len(value) <= 16 and int(value) <= most):
            raise BadQuery(f"{key}={value!r} is no number in range", f"0 to {most}")
        return int(value)

    def ids(self, key: str, end: int, most: int) -> TagIds:
        """Return the numbers of tags before `end`, ascending, each once: `3,17,4`."""
        value = self._take(key)
        parts = value.split(",", most + 1) if value else []
        if len(parts) > most:
            raise BadQuery(f"{key} has more than {most} numbers")
        for part in parts:
            if not (part.isascii() and part.isdecimal() and len(part) <= 9 and int(part) < end):
                raise BadQuery(f"{key}: there is no tag {part!r}", "numbers as in /api/v1/tags, commas between them")
        return np.array(sorted({int(part) for part in parts}), np.uint32)

    def end(self) -> None:
        """Refuse keys that nobody has asked for."""
        if self._given:
            keys = ", ".join(self._known) or "none"
            raise BadQuery(f"unknown key {next(iter(self._given))!r}", f"keys: {keys}")
