"""What two ticks of the event loop prove of the time of what comes after them."""

from gateway.core.loop_watch import LATE_NS, Arrival, LoopWatch

MS = 1_000_000
START = 1_000_000 * MS
WALL = 1_700_000_000_000 * MS


class Machine:
    """Clocks that a test moves: wall time, time with sleep, time without. age_ms: what the system says of the last data."""

    def __init__(self) -> None:
        self.now_ns = self.awake_ns = START
        self.age_ms: int | None = None
        self.asked = 0
        self.watch = LoopWatch(lambda: self.now_ns, lambda: self.awake_ns)

    def turn(self, ms: int = 20, times: int = 1) -> None:
        for _ in range(times):
            self.stand_still(ms)
            self.watch.tick()

    def stand_still(self, ms: int, *, asleep: bool = False) -> None:
        self.now_ns += ms * MS
        self.awake_ns += 0 if asleep else ms * MS

    def receive(self, asked_ms_ago: int = 100_000) -> tuple[int, bool]:
        """(how many ms ago it came, is that known)."""

        def age() -> int | None:
            self.asked += 1
            return None if self.age_ms is None else self.age_ms * MS

        wall = WALL + self.now_ns
        came = self.watch.arrival(wall, self.now_ns, self.now_ns - asked_ms_ago * MS, age)
        return (wall - came.time_ns) // MS, came.is_known


def test_what_comes_while_the_loop_turns_has_the_time_of_its_receipt_and_the_system_is_not_asked():
    machine = Machine()
    machine.turn(times=5)
    machine.stand_still(15)
    assert machine.receive() == (0, True)
    assert machine.asked == 0


def test_after_a_stand_still_it_came_at_the_earliest_when_the_loop_last_turned_or_it_was_asked_for():
    machine = Machine()
    machine.turn(times=5)
    machine.stand_still(1500)
    assert machine.receive() == (1520, False), "after the tick before the last one"
    assert machine.receive(asked_ms_ago=1505) == (1505, False)
    assert machine.receive(asked_ms_ago=90) == (0, True), "asked for after the stand-still"


def test_the_first_tick_after_a_stand_still_proves_nothing_the_second_does():
    """What came during a long callback is received after the timers that became due in it."""
    machine = Machine()
    machine.turn(times=5)
    machine.turn(1500)
    assert machine.receive() == (1500, False)
    assert machine.watch.stands_still
    machine.turn()
    assert machine.receive() == (0, True)
    assert not machine.watch.stands_still


def test_the_system_knows_how_long_ago_it_came_unless_the_machine_slept():
    machine = Machine()
    machine.turn(times=5)
    machine.stand_still(1500)
    machine.age_ms = 1490
    assert machine.receive() == (1490, True)
    assert machine.receive(asked_ms_ago=1200) == (1200, True), "not before it was asked for"
    machine = Machine()
    machine.turn(times=5)
    machine.stand_still(3_600_000, asleep=True)
    machine.age_ms = 3
    assert machine.receive(asked_ms_ago=10_000_000) == (3_600_020, False)


def test_without_ticks_every_time_is_believed():
    watch = LoopWatch()
    assert watch.arrival(WALL, START, START - 3000 * MS, lambda: None) == Arrival(WALL, is_known=True)
    assert not watch.stands_still


def test_a_short_stand_still_is_reported_where_something_waited_and_a_long_one_in_any_case():
    machine = Machine()
    machine.turn(times=5)
    machine.turn(900)
    machine.turn(times=10)
    assert machine.watch.take_stall_ms() == 0, "nobody waited"
    machine.turn(1200)
    machine.receive()
    machine.turn(times=3)
    assert machine.watch.take_stall_ms() == 1200
    assert machine.watch.take_stall_ms() == 0
    machine.turn(4000)
    machine.turn(times=3)
    assert machine.watch.take_stall_ms() == 4000


def test_short_stand_stills_are_reported_once_a_minute_as_the_longest_of_them():
    machine = Machine()
    machine.turn(times=5)
    found = []
    for length in (500, 300, 800, 400):
        machine.stand_still(length)
        machine.receive()
        machine.watch.tick()
        machine.turn(times=50)
        found.append(machine.watch.take_stall_ms())
    assert found == [500, 0, 0, 0]
    machine.turn(times=3000)
    assert machine.watch.take_stall_ms() == 800


def test_the_bound_is_a_tenth_of_a_second():
    assert LATE_NS == 100 * MS
