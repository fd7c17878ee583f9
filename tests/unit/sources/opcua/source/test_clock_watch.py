"""A server's clock: how far it is off, and from when on that is certain."""

import pytest

from gateway.sources.opcua.config.device import OpcUaDevice
from gateway.sources.opcua.source.clock_watch import LASTS_S, ClockWatch, offset_words

NOW_NS = 1_700_000_000 * 10**9
S = 10**9
YEAR = 365 * 86_400


def watch(**keys: object) -> ClockWatch:
    return ClockWatch(OpcUaDevice.model_validate({"name": "plc", "protocol": "opcua", "url": "opc.tcp://h", **keys}))


@pytest.mark.parametrize(
    ("off_s", "words"),
    [
        (-3 * YEAR - 40 * 86_400, "3 years 40 days behind"),
        (YEAR, "1 year ahead"),
        (YEAR + 7200, "1 year ahead"),
        (3600 + 300, "1 hour 5 minutes ahead"),
        (-6, "6 seconds behind"),
        (0.2, "less than a second ahead"),
    ],
)
def test_an_offset_has_two_units_at_most(off_s, words):
    assert offset_words(round(off_s * S)) == words


def test_years_are_certain_at_once_and_the_note_goes_when_the_clock_is_right():
    clock = watch()
    assert clock.check(NOW_NS - 3 * YEAR * S, NOW_NS, 0.0)
    assert "3 years behind" in clock.note
    assert "times: gateway" in clock.note
    assert not clock.check(NOW_NS - 3 * YEAR * S + S, NOW_NS, 1.0), "the same offset is no news"
    assert clock.check(NOW_NS, NOW_NS, 2.0)
    assert clock.note == ""


def test_an_answer_that_is_received_late_makes_no_clock_wrong():
    clock = watch()
    for at_s, late_s in ((0.0, 7), (0.1, 6.5), (0.2, 6)):
        assert not clock.check(NOW_NS - round(late_s * S), NOW_NS, at_s)
    assert not clock.check(NOW_NS, NOW_NS, 0.3)
    assert not clock.check(NOW_NS - 7 * S, NOW_NS, LASTS_S + 0.1), "counted anew"
    assert clock.check(NOW_NS - 7 * S, NOW_NS, 2 * LASTS_S + 0.1)
    assert "7 seconds behind" in clock.note


def test_a_clock_that_is_ahead_cannot_be_a_late_receipt():
    clock = watch()
    assert clock.check(NOW_NS + 7 * S, NOW_NS, 0.0)


def test_nothing_is_said_within_the_tolerance_without_a_clock_or_where_times_are_ours():
    assert not watch().check(NOW_NS + 5 * S, NOW_NS, 0.0)
    assert not watch().check(0, NOW_NS, 0.0)
    assert not watch(times="gateway").check(NOW_NS + 9 * YEAR * S, NOW_NS, 0.0)


def test_an_answer_that_seems_to_be_behind_was_late_where_the_clock_was_right_before():
    clock = watch()
    clock.check(NOW_NS - 7 * S, NOW_NS, 0.0)
    assert not clock.is_late, "nothing is known of this clock"
    clock.check(NOW_NS, NOW_NS, 0.1)
    assert not clock.is_late
    clock.check(NOW_NS - 7 * S, NOW_NS, 7.0)
    assert clock.is_late
    assert clock.check(NOW_NS - 7 * S, NOW_NS, 7.0 + LASTS_S)
    assert not clock.is_late, "so long nothing is late"
    clock.check(NOW_NS - 9 * S, NOW_NS, 20.0)
    assert not clock.is_late, "it was wrong before"


def test_a_stand_still_of_the_process_explains_an_answer_that_seems_to_be_behind():
    clock = watch()
    assert not clock.check(NOW_NS - 9 * S, NOW_NS, 0.0, late_ns=5 * S)
    assert clock.is_late
    clock.check(NOW_NS - 11 * S, NOW_NS, 0.0, late_ns=5 * S)
    assert not clock.is_late, "not so late"
