"""A strict reader of line protocol, written from its specification (InfluxDB, Line protocol reference) and nothing else."""

import re
from dataclasses import dataclass

_INTEGER = re.compile(r"-?(0|[1-9][0-9]*)i")
_FLOAT = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_TIME = re.compile(r"-?[0-9]+")
_LARGEST = 2**63 - 1


@dataclass(frozen=True)
class Point:
    """One line."""

    measurement: str
    tags: dict[str, str]
    fields: dict[str, str | int | float | bool]
    time_ns: int


def read(lines: str) -> list[Point]:
    """Return the points of a request. Raises ValueError for whatever is not exactly as the specification says."""
    return [_Reader(line).point() for line in lines.split("\n")]


class _Reader:
    def __init__(self, line: str) -> None:
        self._line, self._at = line, 0

    def point(self) -> Point:
        """Return the point of the line."""
        measurement = self._name(", ")
        if measurement.startswith(("_", "#")) or "=" in self._line[: self._at].replace(r"\=", ""):
            raise ValueError(f"{measurement!r} is no measurement")
        tags: dict[str, str] = {}
        while self._peek() == ",":
            key, value = self._pair()
            if key in tags:
                raise ValueError(f"the tag {key!r} is there twice")
            tags[key] = value
        self._expect(" ")
        fields: dict[str, str | int | float | bool] = {}
        while True:
            key = self._name("=, ")
            self._expect("=")
            if key in fields or key in tags:
                raise ValueError(f"the field {key!r} is there twice")
            fields[key] = self._value()
            if self._peek() != ",":
                break
            self._at += 1
        self._expect(" ")
        time = self._line[self._at :]
        if not _TIME.fullmatch(time) or abs(int(time)) > _LARGEST:
            raise ValueError(f"{time!r} is no time")
        return Point(measurement, tags, fields, int(time))

    def _peek(self) -> str:
        return self._line[self._at : self._at + 1]

    def _expect(self, mark: str) -> None:
        if self._peek() != mark:
            raise ValueError(f"{self._line!r}: expected {mark!r} at {self._at}")
        self._at += 1

    def _pair(self) -> tuple[str, str]:
        self._expect(",")
        key = self._name("=, ")
        self._expect("=")
        return key, self._name("=, ")

    def _name(self, ends: str) -> str:
        """Up to one of `ends` that has no backslash before it; a backslash before anything else is one."""
        found = ""
        while (mark := self._peek()) and mark not in ends:
            if mark in "\n\r\t" or (mark == "=" and "=" not in ends):
                raise ValueError(f"{mark!r} in a name")
            following = self._line[self._at + 1 : self._at + 2]
            if mark == "\\" and following and following in ",= ":
                found += following
                self._at += 2
            else:
                found += mark
                self._at += 1
        if not found or found.endswith("\\"):
            raise ValueError(f"{found!r} is no name")
        return found

    def _value(self) -> str | int | float | bool:
        if self._peek() == '"':
            return self._string()
        end = min((at for mark in ", " if (at := self._line.find(mark, self._at)) >= 0), default=len(self._line))
        word, self._at = self._line[self._at : end], end
        if word in ("true", "false"):
            return word == "true"
        if _INTEGER.fullmatch(word) and -_LARGEST - 1 <= int(word[:-1]) <= _LARGEST:
            return int(word[:-1])
        if _FLOAT.fullmatch(word):
            return float(word)
        raise ValueError(f"{word!r} is no value")

    def _string(self) -> str:
        found, self._at = "", self._at + 1
        while (mark := self._peek()) != '"':
            if not mark or mark in "\n\r":
                raise ValueError("a string without end")
            if mark == "\\":
                self._at += 1
                mark = self._peek()
                if mark not in ('"', "\\"):
                    raise ValueError(f"\\{mark} in a string")
            found += mark
            self._at += 1
        self._at += 1
        return found
