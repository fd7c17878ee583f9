"""A number that outlives the process, and that a broken file cannot stop."""

import pytest

from gateway.layouts.sparkplug.bd_seq_counter import BdSeqCounter


def test_it_goes_on_where_the_last_run_ended(tmp_path):
    path = tmp_path / "outbox.db.bdseq"
    assert [BdSeqCounter(path).next() for _ in range(3)] == [0, 1, 2]
    path.write_text("253")
    counter = BdSeqCounter(path)
    assert [counter.next() for _ in range(4)] == [254, 255, 0, 1]
    assert BdSeqCounter(path).next() == 2


@pytest.mark.parametrize("content", [b"", b"x", b"\xff\xfe", b"-1", b"99999"])
def test_a_file_that_makes_no_sense_is_written_anew(tmp_path, content):
    path = tmp_path / "n"
    path.write_bytes(content)
    first = BdSeqCounter(path).next()
    assert 0 <= first < 256
    assert BdSeqCounter(path).next() == (first + 1) % 256


def test_a_folder_that_is_not_there_costs_only_the_memory(tmp_path):
    counter = BdSeqCounter(tmp_path / "missing" / "n")
    assert [counter.next(), counter.next()] == [0, 1]
