"""Garbage collection of a process with a million objects that live as long as it does, without long stand-stills."""

import gc
import time
from collections.abc import Mapping
from typing import Any, Final, Self

_LONG_S: Final = 0.01
"""A full collection that takes longer has walked much that lives: the next ones leave it out."""
_FULL: Final = 2
_OFTEN: Final = 5
"""Collections of the generation before that lead to a full one: half of what is usual, so it has half as much to walk."""
_TIMES: Final = 2
_MORE: Final = 1_000_000
"""About 100 MB; the walk takes 0.2 s then, so a start must not lead to it."""


class ShortCollections:
    """Freezes what lives (gc.freeze), so that a full collection walks only what is new. `with` it while a gateway runs.

    Full collections of 50,000 tags took 0.1 to 0.2 s each, several in a row while sources start. Cycles that are frozen and
    die later stay in memory until twice as much is frozen as at first, and a million more; then everything is walked once.
    """

    def __init__(self) -> None:
        """Begin without a change to the interpreter."""
        self._begin_s = 0.0
        self._thresholds = gc.get_threshold()
        self._settled = 0
        self._is_whole = False

    def __enter__(self) -> Self:
        gc.set_threshold(*gc.get_threshold()[:2], _OFTEN)
        gc.callbacks.append(self._on_collection)
        return self

    def __exit__(self, *_: object) -> None:
        gc.callbacks.remove(self._on_collection)
        gc.set_threshold(*self._thresholds)
        gc.unfreeze()

    def settle(self) -> None:
        """Freeze everything, with the few dead cycles that were not found yet: a walk to find them takes 0.2 s."""
        gc.freeze()
        gc.collect()  # the next full collection is due by what this one leaves: nothing
        self._settled, self._is_whole = gc.get_freeze_count(), False

    def _on_collection(self, phase: str, info: Mapping[str, Any]) -> None:
        if info["generation"] != _FULL:
            return
        if phase == "start":
            self._begin_s = time.thread_time()
        elif time.thread_time() - self._begin_s > _LONG_S:
            self._freeze()

    def _freeze(self) -> None:
        gc.freeze()
        count = gc.get_freeze_count()
        if self._is_whole:
            self._settled, self._is_whole = count, False
        elif count > _TIMES * self._settled + _MORE:
            gc.unfreeze()
            self._is_whole = True
