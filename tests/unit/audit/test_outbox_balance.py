"""What is there, what is declared, and what is neither, against plain sets."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.audit.ledger import IntervalSet
from gateway.audit.outbox_balance import balances
from gateway.core.messages import Loss


def numbers(spans: tuple[tuple[int, int], ...]) -> set[int]:
    return {n for first, last in spans for n in range(first, last + 1)}


@given(st.lists(st.sampled_from(["held", "lost", "gone", "merged"]), min_size=1, max_size=60))
def test_a_true_account_is_sound_and_its_holes_are_what_left(fates: list[str]) -> None:
    """Each number is held, lost in a span of its own, merged (one record for all), or delivered."""
    of = {fate: {n for n, f in enumerate(fates, 1) if f == fate} for fate in ("held", "lost", "gone", "merged")}
    losses = [Loss("t", "b", n, n, 1, 0, 0, "memory") for n in sorted(of["lost"])]
    if of["merged"]:
        losses.append(Loss("t", "b", min(of["merged"]), max(of["merged"]), len(of["merged"]), 0, 0, "thinned"))
    there = {("b", "t"): IntervalSet((n, n) for n in sorted(of["held"]))} if of["held"] else {}
    rows = balances(there, losses)
    if not there and not losses:
        assert rows == []
        return
    (row,) = rows
    assert row.sound
    assert (row.held, row.declared) == (len(of["held"]), len(of["lost"] | of["merged"]))
    known = of["held"] | of["lost"] | of["merged"]
    inside = {n for n in of["gone"] if min(known) < n < max(known)}
    assert len(numbers(row.holes)) == len(inside), "as many as left, though merged ones are not told from delivered ones"
    assert not numbers(row.holes) & (of["held"] | of["lost"])


@given(st.sets(st.integers(1, 30), min_size=1), st.integers(1, 30), st.integers(0, 10), st.integers(0, 10))
def test_what_is_there_and_declared_lost_is_found(there: set[int], first: int, length: int, missing: int) -> None:
    span = range(first, first + length + 1)
    count = max(1, len(span) - missing)
    (row,) = balances({("b", "t"): IntervalSet((n, n) for n in there)}, [Loss("t", "b", first, span[-1], count, 0, 0, "x")])
    assert row.sound == (count <= len(set(span) - there))
    if count == len(span):
        assert numbers(row.overlaps) == there & set(span)
