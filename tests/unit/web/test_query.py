"""Queries: typed and bounded."""

import pytest

from gateway.web.query import BadQuery, Query


def test_keys_are_read_once_and_others_refused() -> None:
    query = Query({"q": "oil", "limit": "7", "tags": "3,1,3"})
    assert (query.text("q"), query.number("limit", 1, 10)) == ("oil", 7)
    assert query.ids("tags", 4, 10).tolist() == [1, 3]
    query.end()
    with pytest.raises(BadQuery, match="unknown key"):
        Query({"x": "1"}).end()


@pytest.mark.parametrize("text", ["-1", "1.5", "٣", "11", "9" * 400, "x", " 1"])
def test_no_number_in_range(text: str) -> None:
    with pytest.raises(BadQuery):
        Query({"n": text}).number("n", 0, 10)


@pytest.mark.parametrize("text", ["4", "1,,2", "x", ",", "1,2,3,0,1,2"])
def test_no_tags(text: str) -> None:
    with pytest.raises(BadQuery):
        Query({"tags": text}).ids("tags", 4, 5)


def test_choices_and_long_texts() -> None:
    with pytest.raises(BadQuery):
        Query({"q": "x" * 300}).text("q")
    with pytest.raises(BadQuery):
        Query({"c": "best"}).choice("c", ("good", "bad"))
