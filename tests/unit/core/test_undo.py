"""What was begun is undone whatever ends it, and the cause goes on."""

import asyncio

import pytest

from gateway.core.undo import undone_on_error


@pytest.mark.parametrize("error", [ValueError, asyncio.CancelledError, KeyboardInterrupt])
def test_an_error_of_any_kind_undoes_and_goes_on(error: type[BaseException]):
    undone: list[str] = []
    with pytest.raises(error), undone_on_error(lambda: undone.append("undone")):
        raise error
    assert undone == ["undone"]


def test_nothing_is_undone_after_a_proper_end():
    undone: list[str] = []
    with undone_on_error(lambda: undone.append("undone")):
        pass
    assert undone == []
