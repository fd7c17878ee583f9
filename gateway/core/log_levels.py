"""The least important message that each part logs; may change while the gateway runs. One for the process, as logs are."""

import logging
from collections.abc import Collection, Mapping
from typing import Final

LEVELS: Final[Mapping[str, int]] = {"debug": 10, "info": 20, "warning": 30, "error": 40}
LIBRARIES: Final = "libraries"
ALL: Final = "all"


class LogLevels:
    """The level of each part, and of the libraries below them."""

    def __init__(self) -> None:
        """Begin with `info` for all parts."""
        self._default = LEVELS["info"]
        self._own: dict[str, int] = {}
        self._libraries = LEVELS["warning"]
        self._parts: Collection[str] = ()

    def begin(self, level: str, parts: Collection[str] = ()) -> None:
        """Begin anew with one level for all parts; libraries are logged from warnings on. parts: that there are."""
        self._parts = parts
        self._default, self._own = LEVELS[level], {}
        self._set_libraries(LEVELS["warning"])

    def wants(self, name: str, number: int) -> bool:
        """Return whether a message is logged. name: of the logger, `gateway.PART`; number: as in `logging`."""
        return number >= (self._own.get(name, self._default) if self._own else self._default)

    def set(self, part: str, level: str) -> None:
        """Change the level of a part, of `libraries`, or of `all` parts. Raises ValueError, which says what is known."""
        if level not in LEVELS:
            raise ValueError(f"{level!r} is no level; expected {', '.join(LEVELS)}")
        if part == ALL:
            self._default, self._own = LEVELS[level], {}
        elif part == LIBRARIES:
            self._set_libraries(LEVELS[level])
        elif part in self._parts:
            self._own[f"gateway.{part}"] = LEVELS[level]
        else:
            raise ValueError(f"{part!r} is no part; expected {ALL}, {LIBRARIES}, {', '.join(self._parts)}")

    def _set_libraries(self, number: int) -> None:
        self._libraries = number
        logging.getLogger().setLevel(number)

    def shown(self) -> dict[str, str]:
        """Return the level of `all` parts, of those that have another, and of libraries."""
        name = {number: level for level, number in LEVELS.items()}
        own = {part.removeprefix("gateway."): name[number] for part, number in sorted(self._own.items())}
        return {ALL: name[self._default], LIBRARIES: name[self._libraries]} | own


LOG_LEVELS: Final = LogLevels()
"""Those of this process."""
