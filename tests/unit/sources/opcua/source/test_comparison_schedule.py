"""When a server's model is compared next."""

from gateway.sources.opcua.source.comparison_schedule import ComparisonSchedule
from gateway.sources.opcua.source.intervals import Intervals

INTERVALS = Intervals(model_quiet_s=2, model_quiet_most_s=30, model_pause_s=60)


def test_it_is_compared_first_as_given_then_at_the_interval():
    schedule = ComparisonSchedule(INTERVALS, 3600, 30)
    assert schedule.left_s(0) == 30
    schedule.begin(30)
    assert schedule.left_s(30) == 3600


def test_a_report_waits_until_the_server_is_quiet_but_not_for_ever():
    schedule = ComparisonSchedule(INTERVALS, 3600, 3600)
    schedule.hurry(100)
    assert (schedule.has_report, schedule.left_s(100)) == (True, 2)
    for second in range(101, 140):
        schedule.hurry(second)
    assert schedule.left_s(130) == 0, "30 s after the first report"
    schedule.begin(130)
    assert not schedule.has_report


def test_reports_without_end_are_compared_ever_more_seldom():
    schedule = ComparisonSchedule(INTERVALS, 3600, 0)
    now_s, waits_s = 0.0, []
    for _ in range(9):
        schedule.begin(now_s)
        schedule.hurry(now_s)
        waits_s.append(schedule.left_s(now_s))
        now_s += waits_s[-1]
    assert waits_s == [60, 60, 60, 60, 120, 240, 480, 960, 1920]
