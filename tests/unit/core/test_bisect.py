"""The search by halves: finds every culprit and nobody else, in few steps."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.bisect import MOST_FAILURES, Halving


def search(count: int, bad: set[int], *, is_known: bool = False) -> tuple[Halving, int]:
    """Until it is over, and how many questions that took."""
    halving, asked = Halving(count, is_known=is_known), 0
    while (part := halving.part) is not None:
        asked += 1
        if bad.isdisjoint(part):
            halving.passed()
        else:
            halving.failed()
    return halving, asked


@given(st.integers(1, 3000), st.data())
def test_any_few_culprits_are_found_and_nobody_else_in_few_steps(count: int, data: st.DataObject):
    bad = data.draw(st.sets(st.integers(0, count - 1), max_size=min(8, count - 1)))
    halving, asked = search(count, bad)
    assert sorted(halving.culprits) == sorted(bad)
    assert halving.unknown == []
    assert not halving.is_vain
    assert asked <= 2 * len(bad) * (count.bit_length() + 1) + 1


@given(st.integers(1, 400), st.data())
def test_whatever_fails_nobody_innocent_is_blamed_and_nothing_is_forgotten(count: int, data: st.DataObject):
    bad = data.draw(st.sets(st.integers(0, count - 1)))
    halving, asked = search(count, bad)
    assert set(halving.culprits) <= bad
    unknown = {one for part in halving.unknown for one in part}
    assert bad - set(halving.culprits) <= unknown, "a culprit never passes"
    assert unknown.isdisjoint(halving.culprits)
    assert asked <= 2 * MOST_FAILURES + 1


@given(st.integers(2, 5000))
def test_a_server_that_fails_at_everything_is_given_up_soon(count: int):
    halving, asked = search(count, set(range(count)))
    assert asked <= 2 * count.bit_length() + 9
    assert halving.is_vain or len(halving.culprits) == count


def test_three_of_five_hundred():
    halving, asked = search(500, {0, 1, 333})
    assert sorted(halving.culprits) == [0, 1, 333]
    assert asked <= 41


def test_a_whole_folder_of_culprits_does_not_look_like_a_server_that_fails_at_everything():
    halving, _ = search(500, set(range(60)))
    assert sorted(halving.culprits) == list(range(60))


def test_what_is_known_to_fail_together_is_not_asked_again():
    assert search(500, {7}, is_known=True)[1] == search(500, {7})[1] - 1
    assert search(1, {0}, is_known=True)[0].culprits == [0]
    assert Halving(0).part is None
