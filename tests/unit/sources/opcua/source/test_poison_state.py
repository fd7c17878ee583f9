"""Who brings the connection down: found across connections, left out, and tried again."""

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from gateway.sources.opcua.source.poison_state import (
    FIRST_TRUCE_S,
    MOST_COSTLY_RETRY_S,
    MOST_RETRY_S,
    STABLE_S,
    STRIKES,
    Fault,
    PoisonState,
)

POISON = Fault(0x80020000)
HUNG_UP = Fault(0x80050000, "hangs up", strikes=STRIKES // 3)
CHEAP = Fault(0x80020000, is_costly=False)


class Server:
    """Drops a connection as soon as one of `bad` is asked for. Drives a `PoisonState` as a source does."""

    def __init__(self, rows: int, bad: set[int]) -> None:
        self.suspects = PoisonState(rows)
        self.rows, self.bad = rows, bad
        self.now_s = 0.0
        self.connections = 0

    def connect(self, fault: Fault = POISON) -> bool:
        """One connection, until it is lost, or there is nothing left to try. False when it was lost."""
        suspects = self.suspects
        self.connections += 1
        self.now_s += 1
        if self.bad - suspects.untrusted:
            suspects.lost(fault, 0.1, self.now_s)
            return False
        while trial := suspects.trial(self.now_s):
            if not self.bad.isdisjoint(trial):
                suspects.lost(fault, 0.1, self.now_s)
                return False
            suspects.passed(self.now_s)
        return True

    def settle(self, fault: Fault = POISON, most: int = 2000) -> None:
        while not self.connect(fault):
            assert self.connections < most


@given(st.integers(4, 600), st.data())
def test_any_few_culprits_are_found_and_all_others_are_trusted(rows: int, data: st.DataObject):
    bad = data.draw(st.sets(st.integers(0, rows - 1), max_size=min(5, rows // 2)))
    server = Server(rows, bad)
    server.settle()
    assert set(server.suspects.culprits) == server.suspects.untrusted == bad
    assert server.connections <= 1 + len(bad) * (rows.bit_length() + 3) + 1
    assert not server.suspects.is_searching


def test_three_of_five_hundred_that_hang_up():
    """Three connections that end for no reason begin the search."""
    server = Server(500, {0, 250, 499})
    server.settle(HUNG_UP)
    assert set(server.suspects.culprits) == {0, 250, 499}
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
    assert not server.suspects.untrusted


def test_a_server_that_fails_at_everything_is_searched_seldom():
    server = Server(100, set(range(100)))
    searching = 0
    for _ in range(round(10 * FIRST_TRUCE_S)):
        server.connect()
        searching += server.suspects.is_searching
        assert not server.suspects.culprits
    assert searching < 150


def test_a_connection_that_lasted_is_not_lost_for_the_sake_of_items():
    suspects = PoisonState(10)
    for at in range(10):
        suspects.lost(HUNG_UP, STABLE_S, 100.0 * at)
        assert not suspects.is_searching
    assert not any(suspects.lost(HUNG_UP, 1.0, 1000.0 + at) for at in range(2))
    assert suspects.is_searching
    assert suspects.note == "what the server fails at is searched for, 10 of 10 nodes wait"


def retries(fault: Fault, count: int) -> list[float]:
    suspects, now_s, delays = PoisonState(10), 0.0, list[float]()
    suspects.blame(3, fault, now_s)
    for _ in range(count):
        due_s = suspects.culprits[3].due_s
        assert suspects.trial(due_s - 0.1) == []
        assert suspects.trial(due_s) == [3]
        delays.append(due_s - now_s)
        now_s = due_s
        suspects.failed(fault, now_s)
    return delays


def test_what_costs_nothing_is_tried_often_and_what_costs_a_connection_is_not():
    assert retries(CHEAP, 7) == [5, 10, 20, 40, 80, MOST_RETRY_S, MOST_RETRY_S]
    assert retries(POISON, 7) == [60, 120, 240, 480, 960, MOST_COSTLY_RETRY_S, MOST_COSTLY_RETRY_S]


def test_who_recovers_is_trusted_and_the_others_are_tried_at_once():
    suspects = PoisonState(10)
    for row in (2, 5):
        suspects.blame(row, POISON, 0)
    assert suspects.trial(60) == [2]
    suspects.passed(60)
    assert suspects.untrusted == {5}
    assert suspects.trial(60) == [5]
    suspects.lost(POISON, 100, 61)
    assert suspects.untrusted == {5}
    assert suspects.trial(179) == []


def test_who_is_blamed_by_a_read_leaves_the_trial():
    suspects = PoisonState(8)
    suspects.lost(POISON, 0, 0)
    assert suspects.trial(0) == list(range(8))
    suspects.blame(3, CHEAP, 0)
    suspects.passed(0)
    assert suspects.untrusted == {3}
    assert not suspects.is_searching


def test_a_lost_connection_blames_a_lone_node_only_the_second_time():
    """The network may be cut in the middle of a trial."""
    suspects = PoisonState(2)
    suspects.lost(POISON, 0, 0)
    suspects.trial(0)
    suspects.lost(HUNG_UP, 0, 1)
    assert suspects.trial(1) == [0]
    suspects.lost(HUNG_UP, 0, 2)
    for row in (0, 1):
        assert suspects.trial(3) == [row]
        suspects.passed(3)
    assert not suspects.untrusted


def when_trusted_ones_fail(in_between: Callable[[PoisonState], None]) -> PoisonState:
    suspects = PoisonState(4)
    suspects.lost(POISON, 0, 0)
    suspects.trial(0)
    suspects.lost(POISON, 0, 0)
    assert suspects.trial(0) == [0, 1]
    suspects.passed(0)
    in_between(suspects)
    return suspects


def test_trusted_nodes_that_fail_in_the_middle_of_a_search_are_suspects_again():
    suspects = when_trusted_ones_fail(lambda one: one.lost(POISON, 0, 1))
    assert suspects.untrusted == {0, 1, 2, 3}
    suspects = when_trusted_ones_fail(lambda one: one.lost(HUNG_UP, 0, 1))
    assert suspects.untrusted == {2, 3}


def test_a_search_for_nothing_without_certainty_is_not_begun_again_soon():
    """It was the network, whose cuts would cost a session each time."""
    server = Server(10, set())
    for _ in range(3):
        server.suspects.lost(HUNG_UP, 0.1, 0)
    assert server.suspects.is_searching
    server.settle()
    for _ in range(9):
        server.suspects.lost(HUNG_UP, 0.1, 2)
    assert not server.suspects.is_searching
    server.suspects.lost(HUNG_UP, 0.1, 2 + FIRST_TRUCE_S)
    assert server.suspects.is_searching


def test_a_lost_connection_is_made_again_at_once_only_for_a_trial():
    suspects = PoisonState(3)
    assert not suspects.lost(POISON, 0, 0)
    suspects.trial(0)
    assert suspects.lost(POISON, 0, 0)
    assert not suspects.lost(POISON, 0, 0)
    suspects.trial(0)
    suspects.cancel()
    assert not suspects.is_trying
