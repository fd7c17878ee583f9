"""One node's history, put together from whatever pages a server sends."""

import numpy as np
import pytest

from gateway.sources.opcua.source.history.pages import MOST_IDLE, Pages
from tests.support.opcua_fake import values


def page(*pairs: tuple[int, float], **more: object):
    return values([7] * len(pairs), [number for _, number in pairs], source_ns=[time for time, _ in pairs], **more).columns


def told(pages: Pages) -> list[tuple[int, float]]:
    columns = pages.values()
    if columns is None:
        return []
    assert set(columns.row.tolist()) == {3}
    return list(zip(columns.source_ns.tolist(), columns.number.tolist(), strict=True))


def pages(most: int = 100) -> Pages:
    """Of row 3, between 10 and 20."""
    return Pages(3, 10, 20, most)


def test_values_around_what_was_asked_for_and_later_than_now_do_not_count():
    some = pages()
    assert some.add(page((5, 0.0), (10, 1.0), (11, 2.0), (19, 3.0), (20, 4.0), (10**18, 5.0)))
    assert told(some) == [(11, 2.0), (19, 3.0)]


def test_values_in_any_order_are_put_in_the_order_of_time():
    some = pages()
    some.add(page((15, 2.0), (12, 1.0)))
    some.add(page((18, 4.0), (16, 3.0), (11, 0.0)))
    assert told(some) == [(11, 0.0), (12, 1.0), (15, 2.0), (16, 3.0), (18, 4.0)]


def test_what_comes_twice_counts_once_and_other_values_of_one_time_count():
    """A continuation point that is a time repeats what was taken at that time, as asyncua's does."""
    some = pages()
    some.add(page((11, 1.0), (12, 1.0), (12, 2.0)))
    some.add(page((12, 1.0), (12, 2.0), (12, 3.0), (13, float("nan")), (13, float("nan"))))
    assert [time for time, _ in told(some)] == [11, 12, 12, 12, 13]


def test_the_same_value_with_another_status_is_another():
    some = pages()
    some.add(page((11, 1.0), (11, 1.0), status=[0, 0x40900000]))
    assert len(told(some)) == 2


def test_texts_of_one_time_are_told_apart():
    some = pages()
    some.add(values([7] * 3, ["a", "b", "a"], kind=12, source_ns=[11, 11, 11]).columns)
    some.add(values([7] * 2, ["b", "c"], kind=12, source_ns=[11, 12]).columns)
    columns = some.values()
    assert columns is not None
    assert [columns.objects[place] for place in range(len(columns))] == ["a", "b", "c"]


def test_texts_that_come_out_of_order_keep_their_values():
    some = pages()
    some.add(values([7] * 2, ["late", "early"], kind=12, source_ns=[15, 12]).columns)
    columns = some.values()
    assert columns is not None
    assert (columns.source_ns.tolist(), dict(columns.objects)) == ([12, 15], {0: "early", 1: "late"})


def test_values_without_a_source_time_count_by_the_servers():
    some = pages()
    some.add(values([7] * 2, [1.0, 2.0], source_ns=0, server_ns=[12, 25]).columns)
    columns = some.values()
    assert columns is not None
    assert columns.number.tolist() == [1.0]


def test_the_same_page_again_and_again_comes_to_an_end():
    some = pages()
    asked = 0
    while some.add(page((11, 1.0), (12, 2.0))):
        asked += 1
    assert asked <= MOST_IDLE
    assert some.is_cut
    assert told(some) == [(11, 1.0), (12, 2.0)]


@pytest.mark.parametrize("time", [[], [5]], ids=["empty", "before"])
def test_pages_without_anything_wanted_come_to_an_end(time):
    some = pages()
    asked = 0
    while some.add(page(*((one, 0.0) for one in time))):
        asked += 1
    assert asked < MOST_IDLE
    assert some.is_cut
    assert some.values() is None


def test_a_server_that_goes_on_behind_the_end_is_not_asked_on_and_nothing_is_missing():
    some = pages()
    assert some.add(page((15, 1.0), (25, 2.0)))
    assert not some.add(page((26, 3.0), (27, 4.0)))
    assert not some.is_cut


def test_no_more_than_allowed_is_taken_the_earliest():
    some = pages(2)
    assert not some.add(page((14, 3.0), (12, 1.0), (13, 2.0)))
    assert told(some) == [(12, 1.0), (13, 2.0)]
    assert some.is_cut


def test_exactly_as_much_as_allowed_and_no_more_is_all():
    some = pages(2)
    some.add(page((12, 1.0), (13, 2.0)))
    some.end(is_cut=False)
    assert len(told(some)) == 2
    assert not some.is_cut


def test_a_server_that_sends_shuffled_pages_with_repetitions_is_understood():
    random = np.random.default_rng(7)
    times = np.arange(11, 20)
    some = pages()
    for _ in range(50):
        chosen = random.choice(times, 5)
        some.add(page(*((int(time), float(time)) for time in chosen)))
    assert told(some) == [(time, float(time)) for time in range(11, 20)]
