"""What is handed on of a line that another master may poll as well."""

import numpy as np

from gateway.core.blocks import SampleBlock
from gateway.core.quality import Quality
from gateway.sources.modbus.shared_line import SharedLine

MS = 1_000_000


def sample(value: float) -> SampleBlock:
    return SampleBlock(np.array([0], np.uint32), np.array([0]), np.array([value]), np.array([Quality.GOOD], np.uint8))


def handed_on(line: SharedLine) -> list[tuple[float, int]]:
    items = [(float(item.value[0]), int(item.quality[0])) for item in line.out if isinstance(item, SampleBlock)]
    line.out.clear()
    return items


def test_what_is_held_is_uncertain_when_a_reply_that_nobody_asked_for_follows() -> None:
    line = SharedLine(lambda: 400 * MS, is_line=True)
    line.add(sample(1), 0)
    line.add(sample(2), 300 * MS)
    assert not line.observe(0, 400 * MS)
    assert handed_on(line) == [(1, Quality.GOOD)]
    assert line.observe(1, 600 * MS)
    line.observe(1, 700 * MS)
    assert handed_on(line) == [(2, Quality.UNCERTAIN_SHARED_LINE)]


def test_the_order_stays_whatever_becomes_of_the_doubt() -> None:
    """A slow line is in doubt for longer than a fast one."""
    doubts = [1000, 100, 0]
    line = SharedLine(lambda: doubts.pop(0) * MS, is_line=True)
    for value in (1, 2, 3):
        line.add(sample(value), 0)
    line.observe(0, 999 * MS)
    assert handed_on(line) == []
    line.observe(0, 1000 * MS)
    assert [value for value, _ in handed_on(line)] == [1, 2, 3]


def test_without_doubt_nothing_waits_and_a_request_that_was_heard_counts_for_what_follows() -> None:
    """On a line of our own we hear the other master ask before it is answered."""
    line = SharedLine(lambda: 0, is_line=True)
    line.add(sample(1), 0)
    assert line.observe(1, 1)
    line.add(sample(2), 2)
    assert handed_on(line) == [(1, Quality.GOOD), (2, Quality.UNCERTAIN_SHARED_LINE)]


def test_it_is_ours_again_when_the_other_master_has_gone() -> None:
    line = SharedLine(lambda: 0, is_line=True, lasts_ns=500 * MS)
    assert line.observe(1, 0)
    assert not line.observe(1, 499 * MS)
    assert line.observe(1, 500 * MS)
    line.add(sample(1), 501 * MS)
    assert handed_on(line) == [(1, Quality.GOOD)]


def test_where_replies_have_transaction_ids_nothing_is_taken_for_another_master() -> None:
    line = SharedLine(lambda: 0, is_line=False)
    assert not line.observe(5, 0)
    line.add(sample(1), 1)
    assert handed_on(line) == [(1, Quality.GOOD)]
