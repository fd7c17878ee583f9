"""CountedRows of rows by topic and boot follow every change, and say what is missing when rows cannot be read."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.messages import Lane
from gateway.outbox.database.topic_counts import TopicCount, changes, without
from gateway.outbox.records import Entry
from gateway.outbox.recovery.salvage import MissingRows
from tests.support.outbox_parts import message

ROWS = st.lists(st.tuples(st.sampled_from("ab"), st.booleans(), st.integers(0, 20)), max_size=40)


def entry(id: int, topic: str, seq: int, boot: str = "b1") -> Entry:
    return Entry(id, message(seq, topic=topic, boot=boot), False, Lane.WINDOW, 0.0)


@given(ROWS)
def test_counts_are_those_of_the_rows_and_bounds_hold_them(steps_: list[tuple[str, bool, int]]) -> None:
    """Each step inserts a row and perhaps deletes an older one."""
    known: dict[tuple[str, str], TopicCount] = {}
    rows: list[Entry] = []
    for id, (topic, delete, which) in enumerate(steps_, 1):
        new = entry(id, topic, id)
        gone = [rows.pop(which % len(rows))] if delete and rows else []
        rows.append(new)
        known |= changes(known, [x.row for x in gone], [new])
        known = {of: extent for of, extent in known.items() if extent.messages}
        for (name, _), extent in known.items():
            seqs = [x.message.seq for x in rows if x.message.topic == name]
            assert extent.messages == len(seqs)
            assert extent.first_seq <= min(seqs)
            assert extent.last_seq >= max(seqs)
    assert sum(extent.messages for extent in known.values()) == len(rows)
    assert without(known, [x.row for x in rows]) == {}


def test_rows_from_before_the_counting_are_left_out() -> None:
    old, new = entry(5, "t", 5), entry(6, "t", 6)
    known = changes({}, [], [old, new], uncounted_to=5)
    assert known["t", "b1"].messages == 1
    assert changes(known, [old.row], [], uncounted_to=5) == {}


@given(st.sets(st.integers(1, 30)))
def test_what_is_missing_is_counted_within_bounds_as_narrow_as_the_rows_found_allow(there: set[int]) -> None:
    missing = MissingRows({("t", "b1"): TopicCount(30, 1, 30, 0, 9)}, "why")
    missing.found([entry(seq, "t", seq) for seq in sorted(there)], 0)
    lost = set(range(1, 31)) - there
    assert missing.count == len(lost)
    losses = missing.losses()
    assert [(x.count, x.first_seq, x.last_seq, x.cause) for x in losses] == (
        [(len(lost), min(lost), max(lost), "damaged")] if lost else []
    )
