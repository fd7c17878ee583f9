"""The ledger's proof, against a model made of plain sets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.audit.ledger import IntervalSet, Ledger, Row
from gateway.core.decoded_message import Malformed

TOPIC = "plant/v1/gw/press/window"
EVENTS = "plant/v1/gw/event"


def window(seq: int, *, boot: str = "a", hist: bool = False, ts: int | None = None) -> dict[str, object]:
    return {"boot": boot, "seq": seq, "ts": seq * 1000 if ts is None else ts, "dur": 1000, "hist": hist}


def loss(first: int, last: int, count: int, *, seq: int = 1, of_boot: str = "a") -> dict[str, object]:
    body = {"kind": "loss", "topic": TOPIC, "of_boot": of_boot, "first_seq": first, "last_seq": last, "count": count}
    return {"boot": "a", "seq": seq, "ts": 0, **body}


def unclean(previous: str, bound_ms: int) -> dict[str, object]:
    return {"boot": "b", "seq": 1, "ts": 0, "kind": "unclean_stop", "previous": previous, "bound_ms": bound_ms}


def ledger_of(*seqs: int, from_start: bool = False) -> Ledger:
    ledger = Ledger(from_start=from_start)
    for seq in seqs:
        ledger.add(TOPIC, window(seq))
    return ledger


def row(ledger: Ledger, topic: str = TOPIC) -> Row:
    return next(row for row in ledger.report().rows if row.topic == topic)


def test_a_run_without_gap_is_complete() -> None:
    ledger = ledger_of(1, 2, 3, from_start=True)
    assert ledger.report().complete
    assert row(ledger) == Row(TOPIC, "a", 1, 3, 3, 0, 0, 0, 0, 0)


def test_a_gap_is_missing() -> None:
    ledger = ledger_of(1, 2, 5)
    assert (row(ledger).missing, row(ledger).complete) == (2, False)


def test_a_late_subscriber_is_not_missing_the_start_unless_it_asks_for_it() -> None:
    assert ledger_of(7, 8).report().complete
    assert row(ledger_of(7, 8, from_start=True)).missing == 6


def test_what_is_older_than_the_first_message_seen_is_welcome_and_not_asked_for() -> None:
    ledger = ledger_of(10, 11, 3)
    assert ledger.report().complete
    assert (row(ledger).first, row(ledger).received) == (10, 3)


def test_boots_are_counted_apart() -> None:
    ledger = ledger_of(1, 2)
    ledger.add(TOPIC, window(1, boot="b"))
    assert [r.boot for r in ledger.report().rows] == ["a", "b"]
    assert ledger.report().complete


def test_status_and_retained_copies_prove_nothing() -> None:
    ledger = Ledger()
    ledger.add("plant/v1/gw/status", {"boot": "a", "state": "online"})
    ledger.add(TOPIC, window(4), is_kept=True)
    assert ledger.report().rows == ()


def test_a_declared_loss_explains_a_gap() -> None:
    ledger = ledger_of(1, 2, 6)
    ledger.add(EVENTS, loss(3, 5, 3))
    assert (row(ledger).missing, row(ledger).explained, row(ledger).complete) == (3, 3, True)


def test_a_declared_loss_says_that_messages_existed() -> None:
    ledger = ledger_of(1, 2)
    ledger.add(EVENTS, loss(4, 5, 2))
    assert (row(ledger).last, row(ledger).missing, row(ledger).explained) == (5, 3, 2)


def test_a_loss_that_does_not_say_which_explains_only_its_count() -> None:
    ledger = ledger_of(1, 3, 5, 9)
    ledger.add(EVENTS, loss(2, 8, 4))
    ledger.add(EVENTS, loss(2, 8, 4, seq=2))
    assert (row(ledger).missing, row(ledger).explained, row(ledger).complete) == (5, 4, False)


def test_of_two_losses_the_narrow_one_keeps_its_numbers_and_equal_spans_of_two_causes_both_count() -> None:
    ledger = ledger_of(1, 10)
    ledger.add(EVENTS, loss(2, 9, 4) | {"cause": "thinned"})
    ledger.add(EVENTS, loss(2, 5, 3, seq=2) | {"cause": "max_bytes"})
    ledger.add(EVENTS, loss(2, 9, 1, seq=3) | {"cause": "max_bytes"})
    assert (row(ledger).missing, row(ledger).explained, row(ledger).complete) == (8, 8, True)


def test_a_loss_of_another_boot_explains_nothing() -> None:
    ledger = ledger_of(1, 3)
    ledger.add(EVENTS, loss(2, 2, 1, of_boot="z"))
    assert row(ledger).explained == 0


def test_a_topic_of_which_everything_was_lost_has_a_row() -> None:
    ledger = Ledger()
    ledger.add(EVENTS, loss(1, 4, 4))
    assert row(ledger) == Row(TOPIC, "a", 1, 4, 0, 4, 4, 0, 0, 0)


def test_a_duplicate_needs_a_reason() -> None:
    assert row(ledger_of(1, 2, 2)).unexplained_duplicates == 1
    assert not ledger_of(1, 2, 2).report().complete


def test_history_or_the_dup_flag_on_either_copy_explains_a_duplicate() -> None:
    for copies in (
        [(window(1), False), (window(1, hist=True), False)],
        [(window(1, hist=True), False), (window(1), False)],
        [(window(1), True), (window(1), False)],
        [(window(1), False), (window(1), True)],
    ):
        ledger = Ledger()
        for payload, dup in copies:
            ledger.add(TOPIC, payload, is_repeated=dup)
        assert (row(ledger).duplicates, row(ledger).unexplained_duplicates) == (1, 0)


def test_an_unclean_stop_explains_a_gap_close_to_the_end_as_uncertain() -> None:
    ledger = ledger_of(1, 2, 3, 4, 5, 8)
    ledger.add(EVENTS, unclean("a", 3000))
    assert (row(ledger).explained, row(ledger).uncertain, row(ledger).complete) == (0, 2, True)


def test_an_unclean_stop_explains_no_gap_that_is_older_than_its_bound() -> None:
    ledger = ledger_of(1, 2, 4, 5, 6, 7, 8, 9)
    ledger.add(EVENTS, unclean("a", 2000))
    assert (row(ledger).uncertain, row(ledger).complete) == (0, False)


def test_an_unclean_stop_explains_no_gap_that_is_longer_than_its_bound() -> None:
    ledger = ledger_of(1, 2, 3, 5000)
    ledger.add(EVENTS, unclean("a", 2000))
    assert row(ledger).uncertain == 0


def test_a_rare_topic_may_miss_its_last_messages_in_an_unclean_stop() -> None:
    ledger = Ledger()
    for seq, ts in ((1, 0), (2, 60_000), (4, 130_000)):
        ledger.add(TOPIC, window(seq, ts=ts))
    ledger.add(EVENTS, unclean("a", 2000))
    assert row(ledger).uncertain == 1


def test_malformed_payloads_are_left_out() -> None:
    ledger = Ledger()
    for payload in ({"boot": 1, "seq": 2}, {"boot": "a", "seq": "2"}, {"boot": "a", "seq": 0}, {}):
        ledger.add(TOPIC, payload)
    ledger.add(EVENTS, {"boot": "a", "seq": 1, "kind": "loss", "topic": 3})
    assert [r.topic for r in ledger.report().rows] == [EVENTS]


@given(st.lists(st.tuples(st.integers(1, 60), st.integers(0, 6))))
def test_spans_are_a_set(additions: list[tuple[int, int]]) -> None:
    spans, model = IntervalSet(), set[int]()
    for first, extra in additions:
        spans.add(first, first + extra)
        model.update(range(first, first + extra + 1))
    assert [n for first, last in spans for n in range(first, last + 1)] == sorted(model)
    assert len(spans) == len(model)
    assert [n for n in range(70) if n in spans] == sorted(model)
    assert [n for a, b in spans.gaps(5, 50) for n in range(a, b + 1)] == [n for n in range(5, 51) if n not in model]
    assert all(later[0] > earlier[1] + 1 for earlier, later in zip(list(spans), list(spans)[1:], strict=False))


arrivals = st.lists(st.tuples(st.integers(1, 40), st.booleans(), st.booleans()), min_size=1)


@given(arrivals, st.lists(st.tuples(st.integers(1, 45), st.integers(0, 5))), st.booleans())
def test_the_ledger_counts_like_sets_do(
    messages: list[tuple[int, bool, bool]], losses: list[tuple[int, int]], from_start: bool
) -> None:
    ledger = Ledger(from_start=from_start)
    seen: dict[int, bool] = {}
    lost: set[int] = set()
    duplicates = unexplained = 0
    for seq, hist, dup in messages:
        ledger.add(TOPIC, window(seq, hist=hist), is_repeated=dup)
        if seq in seen:
            duplicates += 1
            unexplained += not (hist or dup or seen[seq])
        seen[seq] = seen.get(seq, False) or hist or dup
    for number, (first, extra) in enumerate(losses, 1):
        ledger.add(EVENTS, loss(first, first + extra, extra + 1, seq=number))
        lost.update(range(first, first + extra + 1))
    begin, end = 1 if from_start else messages[0][0], max({*seen, *lost})
    missing = {n for n in range(begin, end + 1) if n not in seen}
    expected = Row(TOPIC, "a", begin, end, len(seen), len(missing), len(missing & lost), 0, duplicates, unexplained)
    assert row(ledger) == expected
    assert expected.complete == (not missing - lost and not unexplained)


@given(st.permutations(range(1, 30)))
def test_any_order_of_arrival_is_complete_in_the_end(order: list[int]) -> None:
    assert ledger_of(*order, from_start=True).report().complete


@given(st.sets(st.integers(1, 40), min_size=1), st.sets(st.integers(1, 40)), st.integers(1, 40), st.booleans())
def test_an_absence_explains_what_lies_between_the_numbers_around_it_and_nothing_else(
    there: set[int], hist: set[int], cut: int, kept: bool
) -> None:
    """Against a model of plain sets: live numbers rise; the subscriber is away once, after the number `cut`."""
    ledger = Ledger()
    before, after = sorted(n for n in there if n <= cut), sorted(n for n in there if n > cut)
    for seq in before:
        ledger.add(TOPIC, window(seq))
    ledger.was_away(kept=kept)
    if kept:
        ledger.backlog_received()
    for seq in after:
        ledger.add(TOPIC, window(seq))
    for seq in hist:
        ledger.add(TOPIC, window(seq, hist=True))
    found = row(ledger)
    missing = set(range(found.first, found.last + 1)) - there - hist
    away = {n for n in missing if before and max(before) < n and (not after or n < min(after))}
    assert (found.missing, found.away, found.unproven) == (len(missing), len(away), len(missing - away))


def test_more_sequences_than_anybody_publishes_are_not_followed() -> None:
    """Anybody may publish where a subscriber listens; those that were there first are followed as before."""
    ledger = Ledger(most_sequences=200)
    for n in range(200):
        ledger.add(f"plant/v1/gw{n}/press/window", {"boot": "b", "seq": 1})
    with pytest.raises(Malformed, match="too many"):
        ledger.add("plant/v1/another/press/window", {"boot": "b", "seq": 1})
    ledger.add("plant/v1/gw7/press/window", {"boot": "b", "seq": 2})
    assert len(ledger.report().rows) == 200
