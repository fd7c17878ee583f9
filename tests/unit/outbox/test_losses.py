from hypothesis import given
from hypothesis import strategies as st

from gateway.core.messages import Lane, Loss
from gateway.outbox.losses import LossLedger, losses_of, merged
from gateway.outbox.records import Entry, Row
from tests.support.outbox_parts import message


def loss(first: int = 1, last: int = 1, cause: str = "max_bytes", topic: str = "t", count: int = 0) -> Loss:
    return Loss(topic, "b", first, last, count or last - first + 1, first * 1000, last * 1000, cause)


def row(*args: object, windows: int = 1, first_seq: int = 0, **changes: object) -> Row:
    m = message(*args, **changes)
    return Entry(m.seq, m, False, m.lane, 0.0, windows=windows, first_seq=first_seq).row


def test_losses_are_counted_by_boot_and_topic_with_exact_spans():
    dropped = [row(5, end_ms=9000), row(3, end_ms=7000), row(1, Lane.EVENT, end_ms=8000), row(5, boot="b2")]
    assert losses_of(dropped[:3], "memory", "why") == [
        Loss("g/press/window", "b1", 3, 5, 2, 6000, 9000, "memory", "why"),
        Loss("g/press/event", "b1", 1, 1, 1, 7000, 8000, "memory", "why"),
    ]
    assert {x.boot for x in losses_of(dropped, "memory")} == {"b1", "b2"}


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(0, 9)), min_size=1), st.integers(0, 100))
def test_merging_parts_says_the_same_as_counting_the_whole(numbers, cut):
    dropped = [
        row(seq, end_ms=1000 * at + 1000, windows=1 + seq % 3, first_seq=seq // 2 if seq % 3 else 0) for seq, at in numbers
    ]
    (whole,) = losses_of(dropped, "memory")
    left, right = losses_of(dropped[:cut], "memory"), losses_of(dropped[cut:], "memory")
    parts = left + right
    assert whole == (merged(*parts) if len(parts) == 2 else parts[0])


def test_a_ledger_merges_until_it_announces():
    ledger = LossLedger()
    ledger.add([loss(1, 4)])
    ledger.add([loss(9, 9), loss(1, 1, "refused")])
    assert ledger.lost == 6
    assert ledger.announce() == [loss(1, 9, count=5), loss(1, 1, "refused")]
    assert not ledger
    assert ledger.announce() == []


def test_a_loss_that_comes_while_its_key_is_written_stays_unsaved():
    ledger = LossLedger()
    ledger.add([loss(1, 1)])
    written = ledger.unsaved_losses()
    ledger.add([loss(2, 2)])
    ledger.saved(written, ())
    assert ledger.unsaved_losses() == [loss(1, 2)]


def test_announced_losses_leave_the_store_and_new_ones_of_the_same_key_return():
    ledger = LossLedger()
    ledger.add([loss(1, 1)])
    ledger.saved(ledger.unsaved_losses(), ())
    ledger.announce()
    ledger.add([loss(2, 2)])
    assert ledger.superseded() == [("b", "t", "max_bytes")]
    assert ledger.unsaved_losses() == [loss(2, 2)]
    ledger.saved(ledger.unsaved_losses(), ledger.superseded())
    assert not ledger.unsaved


def test_refused_announcements_wait_for_the_next_connection():
    ledger = LossLedger()
    ledger.add([loss(1, 1)], parked=True)
    assert not ledger
    assert ledger.unsaved_losses() == [loss(1, 1)]
    ledger.add([loss(2, 2)])
    assert ledger.announce() == [loss(2, 2)]
    assert ledger.unsaved_losses() == [loss(1, 1)]
    ledger.reconnected()
    assert ledger.announce() == [loss(1, 1)]


def test_a_new_store_gets_all_losses_again():
    ledger = LossLedger()
    ledger.found([loss(1, 3)])
    assert not ledger.unsaved
    ledger.store_lost()
    assert ledger.unsaved_losses() == [loss(1, 3)]
    assert ledger.lost == 0
