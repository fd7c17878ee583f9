"""Notes beside the database fit into their block, come back as they were, and nothing else is taken for one."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.messages import Loss
from gateway.outbox.run_notes import MOST_BYTES, NotedRun, RunNotes, read


def loss(number: int, count: int = 1) -> Loss:
    return Loss(f"plant/v1/g/device{number}/window", "19ad0000000", 1, count, count, 1, 2, "memory", "lost with a stop")


def test_notes_come_back_as_they_were_written() -> None:
    notes = RunNotes([NotedRun("b1", 1, 2, 3), NotedRun("b2", 4, 5, 6)], [loss(1, 5), loss(2)], key="b2")
    found = read(notes.written().ljust(MOST_BYTES))
    assert found == notes
    assert found is not None
    assert found.key == "b2"
    assert read(b"") == read(b" " * 100) == RunNotes()


@given(st.integers(0, 400))
def test_more_losses_than_there_is_room_for_are_cut_and_that_is_noted(count: int) -> None:
    text = RunNotes(losses=[loss(n, n + 1) for n in range(count)]).written()
    assert len(text) <= MOST_BYTES
    found = read(text)
    assert found is not None
    assert found.is_cut is (len(found.losses) < count)
    assert len(found.losses) >= min(count, 20)
    if found.is_cut:
        assert min(x.count for x in found.losses) > count - len(found.losses), "the largest are kept"


@given(st.binary(min_size=1, max_size=200).filter(lambda text: text.strip(b" \n\0")))
def test_what_is_no_note_is_known_to_be_none(text: bytes) -> None:
    assert read(text) is None


def test_a_run_that_is_noted_again_stands_once() -> None:
    notes = RunNotes().with_run(NotedRun("b1", 1, 2, 3)).with_run(NotedRun("b2", 1, 2, 3)).with_run(NotedRun("b1", 1, 2, 9))
    assert [(run.boot, run.last_ms) for run in notes.runs] == [("b2", 3), ("b1", 9)]
    assert [run.boot for run in notes.without(["b2"]).runs] == ["b1"]
