"""When the end of a certificate is told."""

from dataclasses import dataclass

from gateway.core.events.event import Event
from gateway.runtime.certificates import CertificateWatch
from tests.support.clock import FakeClock

DAY_S = 86_400


@dataclass(frozen=True)
class Some:
    owner: str
    subject: str
    end_ms: int


class Bench:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.events: list[Event] = []
        self.changes = 0
        self.watch = CertificateWatch(list, self.events.append, self.changed, self.clock)

    def changed(self) -> None:
        self.changes += 1

    def ending(self, days: float, owner: str = "broker") -> Some:
        return Some(owner, "CN=x", self.clock.now_ns() // 1_000_000 + int(days * DAY_S * 1000))

    @property
    def told(self) -> list[tuple[object, object]]:
        return [(event.days_left, event.severity) for event in self.events]


def test_each_level_is_told_once() -> None:
    bench = Bench()
    certificate = bench.ending(100.52)
    for _ in range(110 * 24):
        bench.watch.update([certificate])
        bench.clock.jump(3600)
    assert bench.told == [(29, 300), (6, 600), (0, 800), (-1, 900)]
    assert {event.kind for event in bench.events} == {"certificate"}


def test_one_that_is_found_late_is_told_at_its_level() -> None:
    bench = Bench()
    bench.watch.update([bench.ending(3)])
    assert bench.told == [(3, 600)]


def test_a_renewed_one_is_told_anew_and_the_other_owner_for_itself() -> None:
    bench = Bench()
    bench.watch.update([bench.ending(20), bench.ending(5, "gateway")])
    bench.clock.jump(DAY_S)
    bench.watch.update([bench.ending(25), bench.ending(400, "gateway")])
    assert bench.told == [(20, 300), (5, 600), (25, 300)]


def test_status_is_told_of_changes_only_and_a_lost_connection_forgets_nothing() -> None:
    bench = Bench()
    first, own = bench.ending(90), bench.ending(400, "gateway")
    bench.watch.update([own])
    bench.watch.update([first, own])
    bench.watch.update([own])
    bench.watch.update([first, own])
    assert bench.changes == 2
    assert bench.watch.ends == {"broker": first.end_ms, "gateway": own.end_ms}
    bench.watch.update([bench.ending(365), own])
    assert bench.changes == 3


def test_days_left_are_numbers_for_the_stats() -> None:
    """The newest certificate of each owner; below zero when it has ended."""
    bench = Bench()
    assert bench.watch.days_left() == {}
    bench.watch.update([bench.ending(20.5), bench.ending(400, "gateway")])
    bench.clock.jump(DAY_S * 25)
    assert bench.watch.days_left() == {"broker_certificate_days": -4.5, "gateway_certificate_days": 375.0}
