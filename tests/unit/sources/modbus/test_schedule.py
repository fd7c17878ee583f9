"""Turns: fixed phase, earliest deadline first, nothing piled up."""

from dataclasses import dataclass

from gateway.sources.modbus.schedule import Schedule


@dataclass(eq=False)
class Turn:
    name: str
    interval_ns: int
    phase_ns: int = 0
    due_ns: int = 0
    cycle: int = 0
    failures: int = 0


def schedule_of(*turns: Turn, now: int = 0) -> Schedule[Turn]:
    schedule: Schedule[Turn] = Schedule()
    schedule.restart(turns, now)
    return schedule


def serve(schedule: Schedule[Turn], now: int, cost: int) -> tuple[str, int, int]:
    """Serve the next turn: (name, when it began, when it ended)."""
    while (turn := schedule.current(now)) is None:
        now += schedule.wait_ns(now, 1000)
    schedule.advance(turn, now + cost)
    return turn.name, now, now + cost


def test_the_phase_does_not_drift() -> None:
    schedule, now, begins = schedule_of(Turn("a", 100), now=7), 7, []
    for cost in (30, 99, 1, 50):
        _, began, now = serve(schedule, now, cost)
        begins.append(began)
    assert begins == [7, 107, 207, 307]


def test_a_fast_group_waits_for_one_slow_request_at_most() -> None:
    slow = [Turn(f"slow{i}", 10_000) for i in range(20)]
    schedule, now, fast_begins = schedule_of(*slow, Turn("fast", 100)), 0, []
    while now < 2000:
        name, began, now = serve(schedule, now, 60)
        if name == "fast":
            fast_begins.append(began)
    assert len(fast_begins) == 20
    assert all(0 <= began - 100 * turn <= 60 for turn, began in enumerate(fast_begins))


def test_turns_that_are_over_are_skipped_and_counted() -> None:
    turn = Turn("a", 100)
    schedule = schedule_of(turn)
    assert schedule.current(0) is turn
    assert schedule.advance(turn, 350) == 2
    assert schedule.current(350) is turn
    assert turn.due_ns == 300
    assert schedule.advance(turn, 360, catch_up=False) == 0
    assert turn.due_ns == 400


def test_without_catching_up_the_next_turn_is_in_the_future() -> None:
    turn = Turn("a", 100)
    schedule = schedule_of(turn)
    assert schedule.advance(turn, 350, catch_up=False) == 3
    assert schedule.current(399) is None
    assert schedule.current(400) is turn


def test_an_overloaded_connection_serves_all_in_turn() -> None:
    schedule, now, served = schedule_of(*(Turn(name, 100) for name in "abc"), Turn("slow", 1000)), 0, []
    for _ in range(60):
        name, _, now = serve(schedule, now, 90)
        served.append(name)
    counts = [served.count(name) for name in "abc"]
    assert max(counts) - min(counts) <= 1
    assert served.count("slow") >= 5


def test_one_that_failed_stands_behind_its_equals() -> None:
    schedule = schedule_of(Turn("bad", 100, failures=1), Turn("good", 100))
    assert serve(schedule, 0, 1)[0] == "good"


def test_deferred_hurried_and_removed() -> None:
    a, b = Turn("a", 100), Turn("b", 100)
    schedule = schedule_of(a, b)
    schedule.remove(a)
    schedule.remove(a)
    schedule.defer(b, 555)
    assert schedule.current(554) is None
    assert schedule.wait_ns(554, 1000) == 1
    schedule.hurry(b, 554)
    assert schedule.current(554) is b
    assert schedule.advance(b, 560) == 0
    assert b.due_ns == 600


def test_parts_take_the_turn_of_the_whole() -> None:
    whole, left, right = (Turn(name, 100) for name in ("whole", "left", "right"))
    schedule = schedule_of(whole)
    assert schedule.current(30) is whole
    schedule.replace(whole, [left, right])
    assert [serve(schedule, 30, 5)[0], serve(schedule, 35, 5)[0]] == ["left", "right"]
    assert (left.due_ns, right.due_ns) == (100, 100)


def test_an_empty_schedule_waits_as_long_as_allowed() -> None:
    schedule = schedule_of()
    assert schedule.current(5) is None
    assert schedule.wait_ns(5, 77) == 77
