"""Ids of strings: topics and boots stand once in the database, and rows refer to them by number. Pure."""

from collections.abc import Iterable, Mapping


class StringIds:
    """A table of names and their numbers."""

    def __init__(self, numbers: Mapping[str, int] | None = None) -> None:
        self._numbers = dict(numbers or {})
        self._names = {number: name for name, number in self._numbers.items()}

    def __contains__(self, number: object) -> bool:
        return number in self._names

    def name(self, number: int) -> str:
        """Return the name of a known number."""
        return self._names[number]

    def number(self, name: str) -> int:
        """Return the number of a known name."""
        return self._numbers[name]

    def with_new(self, names: Iterable[str]) -> tuple["StringIds", dict[str, int]]:
        """Return a table with the unknown ones of `names` as well, and these with their numbers; `self` does not change."""
        following = max(self._names, default=0) + 1
        unknown = dict.fromkeys(name for name in names if name not in self._numbers)
        if not unknown:
            return self, {}
        new = {name: following + i for i, name in enumerate(unknown)}
        return StringIds({**self._numbers, **new}), new
