"""The order of the rows: those of one door follow each other, so that they share its gateway."""

import pytest


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = [place for place, item in enumerate(items) if _door(item)]
    ordered = sorted((items[place] for place in places), key=_door)
    for place, item in zip(places, ordered, strict=True):
        items[place] = item


def _door(item: pytest.Item) -> str:
    """Return the door of a row, "" for other tests."""
    callspec = getattr(item, "callspec", None)
    is_row = item.path.parent.name == "hostile" and callspec is not None
    return str(callspec.params.get("plant", "")) if is_row else ""
