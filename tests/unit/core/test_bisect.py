"""The search by halves: finds every culprit and nobody else, in few steps."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.bisect import MOST_FAILURES, Bisection, isolate


def run_search(count: int, bad: set[int], *, is_known: bool = False) -> tuple[Bisection, int]:
    """Until it is over, and how many questions that took."""
    search, asked = Bisection(count, is_known=is_known), 0
    while (part := search.part) is not None:
        asked += 1
        if bad.isdisjoint(part):
            search.passed()
        else:
            search.failed()
    return search, asked


@given(st.integers(1, 3000), st.data())
def test_any_few_culprits_are_found_and_nobody_else_in_few_steps(count: int, data: st.DataObject):
    bad = data.draw(st.sets(st.integers(0, count - 1), max_size=min(8, count - 1)))
    search, asked = run_search(count, bad)
    assert sorted(search.culprits) == sorted(bad)
    assert search.unknown == []
    assert not search.fails_at_everything
    assert asked <= 2 * len(bad) * (count.bit_length() + 1) + 1


@given(st.integers(1, 400), st.data())
def test_whatever_fails_nobody_innocent_is_blamed_and_nothing_is_forgotten(count: int, data: st.DataObject):
    bad = data.draw(st.sets(st.integers(0, count - 1)))
    search, asked = run_search(count, bad)
    assert set(search.culprits) <= bad
    unknown = {one for part in search.unknown for one in part}
    assert bad - set(search.culprits) <= unknown, "a culprit never passes"
    assert unknown.isdisjoint(search.culprits)
    assert asked <= 2 * MOST_FAILURES + 1


@given(st.integers(2, 5000))
def test_a_server_that_fails_at_everything_is_given_up_soon(count: int):
    search, asked = run_search(count, set(range(count)))
    assert asked <= 2 * count.bit_length() + 9
    assert search.fails_at_everything or len(search.culprits) == count


def test_three_of_five_hundred():
    search, asked = run_search(500, {0, 1, 333})
    assert sorted(search.culprits) == [0, 1, 333]
    assert asked <= 41


def test_a_whole_folder_of_culprits_does_not_look_like_a_server_that_fails_at_everything():
    search, _ = run_search(500, set(range(60)))
    assert sorted(search.culprits) == list(range(60))


def test_what_is_known_to_fail_together_is_not_asked_again():
    assert run_search(500, {7}, is_known=True)[1] == run_search(500, {7})[1] - 1
    assert run_search(1, {0}, is_known=True)[0].culprits == [0]
    assert Bisection(0).part is None


@pytest.mark.parametrize("is_known", [False, True])
async def test_isolate_has_the_answers_of_all_but_the_culprits(is_known: bool):
    async def call(part: Sequence[int]) -> list[int]:
        if 3 in part or 11 in part:
            raise KeyError(len(part))
        return list(part)

    found = await isolate(range(16), call, KeyError, is_known=is_known)
    assert sorted(found.culprits) == [3, 11]
    assert sorted(one for part in found.results.values() for one in part) == [one for one in range(16) if one not in (3, 11)]
    assert not found.is_hopeless
    assert found.unknown == []


async def test_isolate_blames_nobody_where_everything_fails_and_lets_other_errors_pass():
    async def fail(part: Sequence[int]) -> None:
        raise KeyError

    assert (await isolate(range(500), fail, KeyError)).is_hopeless
    with pytest.raises(KeyError):
        await isolate(range(3), fail, ValueError)
