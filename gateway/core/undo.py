"""Undo a step that fails before its end."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def undone_on_error(undo: Callable[[], object]) -> Iterator[None]:
    """Call `undo` when the block ends with an exception of any kind, cancellation included; the exception goes on.

    So no handler that catches everything is needed where a socket, file or transaction must not stay behind.
    """
    is_complete = False
    try:
        yield
        is_complete = True
    finally:
        if not is_complete:
            undo()
