"""Texts from outside (peers, files, command lines), made safe to show: journal, terminal, tables, payloads for people.

Escaped is what a terminal obeys or a reader of logs takes for the end of a line: control characters (C0, C1, DEL), line and
paragraph separators, characters that change the direction of writing or are not seen (Unicode categories Cc, Cf, Co, Cs, Cn,
Zl, Zp). Values of tags are data and are never changed.
"""

import unicodedata
from typing import Final

LONGEST_NAME: Final = 60
"""Of a name in a line of a terminal, characters."""
LONGEST_TEXT: Final = 1000
"""Of a reason or a message of a peer, characters."""


_hidden: dict[str, str] = {}


def hide(text: str, shown: str) -> None:
    """Show something else wherever `clean` meets a text from now on: a secret at a place that is shown."""
    _hidden[text] = shown


def without_hidden(text: str) -> str:
    """Return a text without what is hidden."""
    for hidden, shown in _hidden.items():
        text = text.replace(hidden, shown)
    return text


def clean(value: object, longest: int = LONGEST_NAME) -> str:
    """Return the text of a value on one line: what is not printable is escaped as in Python, what is too long is cut.

    longest: characters of the result.
    """
    text = (without_hidden(str(value)) if _hidden else str(value))[: longest + 1]
    if not text.isprintable():
        text = "".join(map(_escaped, text))
    return text if len(text) <= longest else text[: longest - 1] + "…"


def clean_lines(text: str) -> str:
    """Return a text of several lines, each of them as `clean` leaves it, but of any length."""
    text = without_hidden(text)
    if text.replace("\n", "").isprintable():
        return text
    return "".join(c if c == "\n" else _escaped(c) for c in text)


def is_clean(text: str) -> bool:
    """Return whether `clean` would only cut it."""
    return text.isprintable() or all(_is_shown(c) for c in text)


def _is_shown(c: str) -> bool:
    # Spaces other than U+0020 (category Zs) are not "printable" to Python, but harmless and usual before units.
    return c.isprintable() or unicodedata.category(c) == "Zs"


def _escaped(c: str) -> str:
    return c if _is_shown(c) else ascii(c)[1:-1]
