"""systemd's EnvironmentFile: variables in a file, read as the service manager does (systemd.exec(5), env-file.c of v257).

No shell: `$` and backquotes are themselves, nothing is expanded and nothing runs.
"""

import re
from dataclasses import dataclass, field
from typing import Final

_NEWLINE: Final = "\n\r"
_BLANK: Final = " \t\n\r"
_COMMENT: Final = "#;"
_UNESCAPED_IN_QUOTES: Final = '"\\`$'
"""What a backslash makes plain within double quotes; before anything else it is kept."""
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(slots=True)
class EnvironmentFile:
    """The content of such a file."""

    values: dict[str, str] = field(default_factory=dict)
    """Variables by name; of a name that stands twice the last one."""
    ignored: list[tuple[int, str]] = field(default_factory=list)
    """Lines that systemd passes over, each with its number and the reason, which quotes no value."""


def parse_environment_file(text: str) -> EnvironmentFile:
    """Return the variables of a text: quotes, escapes, comments and continued lines are those of systemd."""
    return _Reader(text).read()


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._line = 1
        self._file = EnvironmentFile()

    def read(self) -> EnvironmentFile:
        while (c := self._next()) is not None:
            if c in _COMMENT:
                self._skip_comment()
            elif c not in _BLANK:
                self._read_assignment(c)
        return self._file

    def _next(self) -> str | None:
        if self._at >= len(self._text):
            return None
        c = self._text[self._at]
        self._at += 1
        self._line += c == "\n"
        return c

    def _skip_comment(self) -> None:
        """Go to the end of the line: since v254 a backslash does not continue a comment."""
        while (c := self._next()) is not None and c not in _NEWLINE:
            pass

    def _read_assignment(self, first: str) -> None:
        line, name = self._line, [first]
        while (c := self._next()) != "=":
            if c is None or c in _NEWLINE:
                self._file.ignored.append((line, "is no NAME=VALUE"))
                return
            name.append(c)
        key, value = "".join(name).rstrip(_BLANK), self._read_value()
        if not _NAME.fullmatch(key):
            self._file.ignored.append((line, "has no name of a variable before ="))
        elif not _is_valid(value):
            self._file.ignored.append((line, "has a control character in its value"))
        else:
            self._file.values[key] = value

    def _read_value(self) -> str:
        """Return the value up to the end of its line; quoted parts and what follows them are joined."""
        value: list[str] = []
        kept = 0  # so many characters stay when blanks at the end are cut
        begun = False  # within plain text, where a quote is a character like any other
        while (c := self._next()) is not None and c not in _NEWLINE:
            if c == "\\":
                begun, escaped = True, self._next()
                value += escaped if escaped is not None and escaped not in _NEWLINE else ""
                kept = len(value)
            elif not begun and c in "'\"":
                value += self._read_single_quoted() if c == "'" else self._read_double_quoted()
                kept = len(value)
            elif begun or c not in _BLANK:
                begun = True
                value.append(c)
                kept = kept if c in _BLANK else len(value)
        return "".join(value[:kept])

    def _read_single_quoted(self) -> str:
        value = []
        while (c := self._next()) is not None and c != "'":
            value.append(c)
        return "".join(value)

    def _read_double_quoted(self) -> str:
        value = []
        while (c := self._next()) is not None and c != '"':
            if c != "\\":
                value.append(c)
            elif (escaped := self._next()) is None:
                break
            elif escaped in _UNESCAPED_IN_QUOTES:
                value.append(escaped)
            elif escaped != "\n":
                value.append(f"\\{escaped}")
        return "".join(value)


def _is_valid(value: str) -> bool:
    """Return whether systemd takes a value: no control characters but tab and line feed, and no half characters."""
    return all(c in "\t\n" or (c >= " " and c != "\x7f" and not "\ud800" <= c <= "\udfff") for c in value)
