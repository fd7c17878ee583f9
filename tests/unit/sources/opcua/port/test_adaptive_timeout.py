"""How long a server is waited for."""

import pytest

from gateway.sources.opcua.port.adaptive_timeout import FIRST, MEMORY_S, MOST, AdaptiveTimeout, BatchLimit

TIMEOUT_S = 2.0


class Time:
    def __init__(self) -> None:
        self.s = 1000.0

    def now(self) -> float:
        return self.s


@pytest.fixture
def time():
    return Time()


@pytest.fixture
def patience(time):
    one = AdaptiveTimeout(TIMEOUT_S, time.now)
    one.on_connecting()
    return one


def fell_silent(patience, *, heard=True, settled=False):
    patience.on_connecting()
    if heard:
        patience.on_bytes()
    if settled:
        patience.confirm()
    patience.record_timeout()


def test_a_server_that_answers_soon_is_waited_for_as_long_as_configured(patience):
    patience.record_answer(TIMEOUT_S / 3)
    assert (patience.limit_s, patience.stretch) == (TIMEOUT_S, 1)


def test_one_that_answers_late_is_waited_for_three_times_as_long_within_bounds(patience):
    patience.record_answer(1.0)
    assert patience.limit_s == 3.0
    patience.record_answer(60.0)
    assert (patience.limit_s, patience.stretch) == (MOST * TIMEOUT_S, MOST)


def test_slowness_is_forgotten_in_a_minute_or_two(patience, time):
    patience.record_answer(1.0)
    time.s += MEMORY_S
    assert patience.limit_s == 3.0
    time.s += MEMORY_S
    assert patience.limit_s == TIMEOUT_S


def test_what_was_long_ago_is_forgotten_at_once(patience, time):
    patience.record_answer(1.0)
    time.s += 2 * MEMORY_S
    assert patience.limit_s == TIMEOUT_S


def test_a_server_that_fell_silent_while_it_was_being_opened_gets_more_time_and_less_to_do(patience):
    limits, firsts = [], []
    for _ in range(8):
        fell_silent(patience)
        limits.append(patience.limit_s)
        firsts.append(patience.batch_limit().most)
    assert limits == [6.0, *[MOST * TIMEOUT_S] * 7]
    assert firsts == [25, 6, 1, 1, 1, 1, 1, 1]
    assert "raise timeout" in patience.hint
    patience.on_connecting()
    patience.confirm()
    assert patience.batch_limit().most == FIRST


def test_one_who_never_said_a_word_is_waited_for_a_little_longer(patience, time):
    time.s += 1.0
    for _ in range(5):
        fell_silent(patience, heard=False)
        assert (patience.limit_s, patience.batch_limit().most, patience.hint) == (2 * TIMEOUT_S, FIRST, "")


def test_a_connection_that_delivers_is_lost_as_soon_as_ever_until_its_answers_are_late(patience):
    fell_silent(patience)
    assert patience.limit_s == 3 * TIMEOUT_S
    fell_silent(patience, settled=True)
    assert patience.limit_s == TIMEOUT_S, "however it was opened"
    patience.record_answer(1.0)
    assert patience.limit_s == 3.0
    patience.on_connecting()
    assert patience.limit_s == 3 * TIMEOUT_S, "and the next one is opened with what is known"


def test_only_silence_counts_but_not_for_ever(patience, time):
    sent_s = time.s
    for _ in range(7):
        time.s += 1.0
        patience.on_bytes()
        assert patience.remaining_s(sent_s) > 0
    time.s += 1.0
    assert patience.remaining_s(sent_s) == 0, "the server talks, but does not answer"
    assert patience.remaining_s(time.s) == TIMEOUT_S, "what is asked now has all its time"


def sizes(pace, answer_s, calls=12):
    """Sizes of the calls that a server gets which takes `answer_s(count)` for each."""
    asked = []
    for _ in range(calls):
        asked.append(pace.most)
        pace.record(pace.most, answer_s(pace.most))
    return asked


def test_calls_grow_while_answers_are_quick(time):
    assert sizes(BatchLimit(100, 0.5, time.now), lambda count: 0.1, 4) == [100, 200, 400, 800]
    pace = BatchLimit(100, 0.5, time.now)
    pace.record(60, 0.1)
    assert pace.most == 100, "a small call proves nothing"
    pace.record(100, 0.3)
    assert pace.most == 100, "soon enough"


def test_calls_shrink_until_answers_come_soon(time):
    assert sizes(BatchLimit(100, 0.5, time.now), lambda count: 0.03 * count, 6) == [100, 50, 25, 12, 12, 12]
    assert sizes(BatchLimit(4, 0.5, time.now), lambda count: 5.0 * count, 6)[-1] == 1


def test_where_smaller_calls_take_as_long_they_are_not_the_remedy(time):
    """A machine that is busy answers each call a second later, whatever it asks for."""
    assert sizes(BatchLimit(100, 0.5, time.now), lambda count: 1.0, 7) == [100, 50, 100, 200, 400, 800, 1600]
    assert sizes(BatchLimit(100, 0.5, time.now), lambda count: 5.0, 5) == [100, 50, 100, 100, 50], (
        "but with such answers not"
    )
