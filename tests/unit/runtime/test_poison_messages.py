"""When a message is to blame, and when the broker is. Pure: the test is the clock."""

from gateway.core.messages import Lane, Message
from gateway.runtime.poison_messages import Action, PoisonMessages

TRIES = 5


def message(seq: int, topic: str = "a") -> Message:
    return Message(topic, "b", seq, Lane.WINDOW, 0, 0, b"x")


BAD = message(0, "bad")


class Bench:
    """Refuses `BAD` again and again, half a minute apart."""

    def __init__(self) -> None:
        self.suspects = PoisonMessages(TRIES)
        self.now = 1000.0
        self.seq = 0

    def pass_others(self, count: int = 20) -> None:
        for _ in range(count):
            self.seq += 1
            self.suspects.accepted(message(self.seq))

    def refuse_others(self, count: int) -> None:
        for _ in range(count):
            self.seq += 1
            self.suspects.refused(message(self.seq), self.now)

    def refuse(self, apart_s: float = 31.0) -> Action:
        self.now += apart_s
        return self.suspects.refused(BAD, self.now)


def test_what_is_refused_while_all_others_pass_is_poison_after_so_many_tries() -> None:
    bench = Bench()
    verdicts = []
    for _ in range(TRIES):
        bench.pass_others()
        verdicts.append(bench.refuse())
    assert verdicts == [Action.HOLD] * (TRIES - 1) + [Action.SET_ASIDE]


def test_nothing_is_poison_within_two_minutes() -> None:
    bench = Bench()
    for _ in range(3 * TRIES):
        bench.pass_others()
        assert bench.refuse(119 / (3 * TRIES)) is Action.HOLD
    bench.pass_others()
    assert bench.refuse(30.0) is Action.SET_ASIDE


def test_refusals_between_which_nothing_passes_prove_nothing() -> None:
    """The broker was well before, and now there is nobody to compare with."""
    bench = Bench()
    bench.pass_others()
    assert all(bench.refuse() is Action.HOLD for _ in range(100))


def test_a_broker_that_refuses_all_is_to_blame() -> None:
    bench = Bench()
    for _ in range(100):
        bench.refuse_others(5)
        assert bench.refuse() is Action.PAUSE


def test_a_broker_that_refuses_others_too_proves_less() -> None:
    """Half of the others are refused: five refusals of this one say little."""
    bench = Bench()
    for _ in range(TRIES):
        bench.pass_others(1)
        bench.refuse_others(1)
        assert bench.refuse() is not Action.SET_ASIDE


def test_an_acceptance_clears_of_everything() -> None:
    bench = Bench()
    for _ in range(TRIES - 1):
        bench.pass_others()
        bench.refuse()
    bench.suspects.accepted(BAD)
    bench.pass_others()
    assert bench.refuse() is Action.HOLD
    assert bench.suspects.delay_s(BAD, bench.now) == 5.0


def test_the_pauses_of_one_that_is_held_grow_to_a_minute() -> None:
    bench = Bench()
    pauses = []
    for _ in range(6):
        bench.refuse(0)
        bench.pass_others()
        pauses.append(bench.suspects.delay_s(BAD, bench.now))
    assert pauses[1:] == [10.0, 20.0, 40.0, 60.0, 60.0]


def test_what_was_in_flight_at_two_ends_of_the_connection_goes_alone() -> None:
    bench = Bench()
    others = [message(1), message(2)]
    bench.suspects.disconnected([BAD, *others], bench.now, alone=False)
    assert not bench.suspects.must_be_alone(BAD)
    bench.suspects.disconnected([BAD], bench.now, alone=False)
    assert bench.suspects.must_be_alone(BAD)
    assert not bench.suspects.must_be_alone(others[0])


def test_one_that_ends_the_connection_alone_is_poison_while_others_pass() -> None:
    bench = Bench()
    ends = []
    for _ in range(TRIES):
        bench.pass_others()
        bench.now += 31.0
        ends.append(bench.suspects.disconnected([BAD], bench.now, alone=True))
        bench.suspects.reconnected()
    assert ends == [False] * (TRIES - 1) + [True]
    assert bench.suspects.record(BAD, bench.now) == f"{TRIES} times in 124 s, while others passed"
