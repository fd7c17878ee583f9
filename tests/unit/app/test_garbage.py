"""Full collections leave out what lives long; here every collection counts as a long one."""

import gc
from collections.abc import Iterator

import pytest

from gateway.app import garbage
from gateway.app.garbage import ShortCollections


@pytest.fixture
def collections(monkeypatch: pytest.MonkeyPatch) -> Iterator[ShortCollections]:
    monkeypatch.setattr(garbage, "_LONG_S", -1.0)
    with ShortCollections() as running:
        yield running
    assert gc.get_freeze_count() == 0


def test_what_lives_after_a_long_full_collection_is_left_out_of_the_next(collections: ShortCollections) -> None:
    collections.settle()
    before = gc.get_freeze_count()
    kept = [[] for _ in range(1000)]
    gc.collect(0)
    assert gc.get_freeze_count() == before, "only full collections count"
    gc.collect()
    assert gc.get_freeze_count() >= before + len(kept)


def test_once_twice_as_much_is_frozen_everything_is_walked_once(
    collections: ShortCollections, monkeypatch: pytest.MonkeyPatch
) -> None:
    collections.settle()
    monkeypatch.setattr(garbage, "_MORE", -(10**9))
    gc.collect()
    assert gc.get_freeze_count() == 0
    monkeypatch.undo()
    monkeypatch.setattr(garbage, "_LONG_S", -1.0)
    gc.collect()
    assert gc.get_freeze_count() > 0
    gc.collect()
    assert gc.get_freeze_count() > 0
