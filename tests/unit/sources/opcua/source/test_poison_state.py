"""Who brings the connection down: found across connections, left out, and tried again."""

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from gateway.sources.opcua.source.intervals import Intervals
from gateway.sources.opcua.source.poison_state import CERTAIN, Fault, PoisonState, SearchState

INTERVALS = Intervals()
POISON = Fault(0x80020000)
HUNG_UP = Fault(0x80050000, "hangs up", weight=CERTAIN // 3)
CHEAP = Fault(0x80020000, is_costly=False)


class Server:
    """Drops a connection as soon as one of `bad` is asked for. Drives a `PoisonState` as a source does."""

    def __init__(self, rows: int, bad: set[int]) -> None:
        self.poison = PoisonState(rows)
        self.rows, self.bad = rows, bad
        self.now_s = 0.0
        self.connections = 0

    def connect(self, fault: Fault = POISON) -> bool:
        """One connection, until it is lost, or there is nothing left to try. False when it was lost."""
        poison = self.poison
        self.connections += 1
        self.now_s += 1
        if self.bad - poison.untrusted:
            poison.on_lost(fault, 0.1, self.now_s)
            return False
        while trial := poison.next_trial(self.now_s):
            if not self.bad.isdisjoint(trial):
                poison.on_lost(fault, 0.1, self.now_s)
                return False
            poison.passed(self.now_s)
        return True

    def settle(self, fault: Fault = POISON, most: int = 2000) -> None:
        while not self.connect(fault):
            assert self.connections < most


@given(st.integers(4, 600), st.data())
def test_any_few_culprits_are_found_and_all_others_are_trusted(rows: int, data: st.DataObject):
    bad = data.draw(st.sets(st.integers(0, rows - 1), max_size=min(5, rows // 2)))
    server = Server(rows, bad)
    server.settle()
    assert set(server.poison.culprits) == server.poison.untrusted == bad
    assert server.connections <= 1 + len(bad) * (rows.bit_length() + 3) + 1
    assert not server.poison.is_searching


def test_three_of_five_hundred_that_hang_up():
    """Three connections that end for no reason begin the search."""
    server = Server(500, {0, 250, 499})
    server.settle(HUNG_UP)
    assert set(server.poison.culprits) == {0, 250, 499}
    assert server.connections <= 3 + 3 * 12 + 1


@given(st.integers(1, 300), st.integers(0, 60))
def test_a_server_that_is_ill_for_a_while_gets_all_of_its_nodes_back(rows: int, ill: int):
    server = Server(rows, set(range(rows)))
    for _ in range(ill):
        server.connect()
    server.bad = set()
    server.settle()
    for _ in range(5):  # who was tried last when it recovered may have been blamed
        server.now_s += 120
        server.settle()
    assert not server.poison.untrusted


def test_a_server_that_fails_at_everything_is_searched_seldom():
    server = Server(100, set(range(100)))
    searching = 0
    for _ in range(round(10 * INTERVALS.search_pause_s)):
        server.connect()
        searching += server.poison.is_searching
        assert not server.poison.culprits
    assert searching < 150


def test_a_connection_that_lasted_is_not_lost_for_the_sake_of_items():
    poison = PoisonState(10)
    for at in range(10):
        poison.on_lost(HUNG_UP, INTERVALS.stable_s, 100.0 * at)
        assert not poison.is_searching
    assert not any(poison.on_lost(HUNG_UP, 1.0, 1000.0 + at) for at in range(2))
    assert poison.is_searching
    assert poison.state_text == "what the server fails at is searched for, 10 of 10 nodes wait"


def retries(fault: Fault, count: int) -> list[float]:
    poison, now_s, delays = PoisonState(10), 0.0, list[float]()
    poison.record_culprit(3, fault, now_s)
    for _ in range(count):
        delay_s = next(second for second in range(1, 2000) if poison.next_trial(now_s + second))
        assert poison.next_trial(now_s + delay_s) == [3]
        delays.append(delay_s)
        now_s += delay_s
        poison.failed(fault, now_s)
    return delays


def test_what_costs_nothing_is_tried_often_and_what_costs_a_connection_is_not():
    assert retries(CHEAP, 7) == [5, 10, 20, 40, 80, INTERVALS.poison_retry_most_s, INTERVALS.poison_retry_most_s]
    assert retries(POISON, 7) == [60, 120, 240, 480, 960, INTERVALS.costly_retry_most_s, INTERVALS.costly_retry_most_s]


def test_who_recovers_is_trusted_and_the_others_are_tried_at_once():
    poison = PoisonState(10)
    for row in (2, 5):
        poison.record_culprit(row, POISON, 0)
    assert poison.next_trial(60) == [2]
    poison.passed(60)
    assert poison.untrusted == {5}
    assert poison.next_trial(60) == [5]
    poison.on_lost(POISON, 100, 61)
    assert poison.untrusted == {5}
    assert poison.next_trial(179) == []


def test_who_is_blamed_by_a_read_leaves_the_trial():
    poison = PoisonState(8)
    poison.on_lost(POISON, 0, 0)
    assert poison.next_trial(0) == list(range(8))
    poison.record_culprit(3, CHEAP, 0)
    poison.passed(0)
    assert poison.untrusted == {3}
    assert not poison.is_searching


def test_a_lost_connection_blames_a_lone_node_only_the_second_time():
    """The network may be cut in the middle of a trial."""
    poison = PoisonState(2)
    poison.on_lost(POISON, 0, 0)
    poison.next_trial(0)
    poison.on_lost(HUNG_UP, 0, 1)
    assert poison.next_trial(1) == [0]
    poison.on_lost(HUNG_UP, 0, 2)
    for row in (0, 1):
        assert poison.next_trial(3) == [row]
        poison.passed(3)
    assert not poison.untrusted


def when_trusted_ones_fail(in_between: Callable[[PoisonState], None]) -> PoisonState:
    poison = PoisonState(4)
    poison.on_lost(POISON, 0, 0)
    poison.next_trial(0)
    poison.on_lost(POISON, 0, 0)
    assert poison.next_trial(0) == [0, 1]
    poison.passed(0)
    in_between(poison)
    return poison


def test_trusted_nodes_that_fail_in_the_middle_of_a_search_are_suspects_again():
    poison = when_trusted_ones_fail(lambda one: one.on_lost(POISON, 0, 1))
    assert poison.untrusted == {0, 1, 2, 3}
    poison = when_trusted_ones_fail(lambda one: one.on_lost(HUNG_UP, 0, 1))
    assert poison.untrusted == {2, 3}


def test_a_search_for_nothing_without_certainty_is_not_begun_again_soon():
    """It was the network, whose cuts would cost a session each time."""
    server = Server(10, set())
    for _ in range(3):
        server.poison.on_lost(HUNG_UP, 0.1, 0)
    assert server.poison.is_searching
    server.settle()
    for _ in range(9):
        server.poison.on_lost(HUNG_UP, 0.1, 2)
    assert not server.poison.is_searching
    server.poison.on_lost(HUNG_UP, 0.1, 2 + INTERVALS.search_pause_s)
    assert server.poison.is_searching


def test_a_lost_connection_is_made_again_at_once_only_for_a_trial():
    poison = PoisonState(3)
    assert not poison.on_lost(POISON, 0, 0)
    poison.next_trial(0)
    assert poison.on_lost(POISON, 0, 0)
    assert not poison.on_lost(POISON, 0, 0)
    poison.next_trial(0)
    poison.cancel()
    assert not poison.is_trying


def test_a_search_goes_through_its_states():
    poison = PoisonState(2)
    assert poison.state is SearchState.TRUSTING
    poison.on_lost(POISON, 0, 0)
    assert poison.state is SearchState.SEARCHING
    poison.next_trial(0)
    assert poison.state is SearchState.TRYING
    poison.cancel()
    assert poison.state is SearchState.SEARCHING
    for trial, fault in (([0, 1], POISON), ([0], None), ([1], POISON), ([1], POISON)):
        assert poison.next_trial(1) == trial
        poison.failed(fault, 1) if fault else poison.passed(1)
    assert (poison.state, set(poison.culprits)) == (SearchState.TRUSTING, {1})
    assert poison.next_trial(1 + INTERVALS.costly_retry_s) == [1]
    assert poison.state is SearchState.RETRYING
    poison.passed(61)
    assert (poison.state, poison.untrusted) == (SearchState.TRUSTING, frozenset())


def test_a_failure_that_costs_nothing_does_not_shorten_the_delay_of_those_that_do():
    poison = PoisonState(10)
    poison.record_culprit(3, POISON, 0)
    assert poison.next_trial(60) == [3]
    poison.failed(CHEAP, 60)
    assert poison.next_trial(65) == [3]
    poison.failed(POISON, 65)
    assert poison.next_trial(65 + 119) == []
    assert poison.next_trial(65 + 120) == [3]
