"""The known word that somebody may have meant."""

import difflib
from collections.abc import Iterable
from itertools import islice
from typing import Final

_LONGEST: Final = 100
_MOST_KNOWN: Final = 5000


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the known word that is most like a word, empty where none is.

    Comparing takes time with the length of both and the number of words: long ones are compared with none, and with no more
    than the first 5,000.
    """
    if len(word) > _LONGEST:
        return ""
    short = (one for one in islice(known, _MOST_KNOWN) if len(one) <= _LONGEST)
    return next(iter(difflib.get_close_matches(word, list(short), 1)), "")
