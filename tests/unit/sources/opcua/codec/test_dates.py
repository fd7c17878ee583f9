"""DateTimes as text: every tick, and the ends of what they can say."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from gateway.sources.opcua.codec.dates import date_text

BEGIN = datetime(1601, 1, 1, tzinfo=UTC)


def ticks(time: datetime, more: int = 0) -> int:
    return (time - BEGIN) // timedelta(microseconds=1) * 10 + more


def test_there_are_as_many_digits_as_it_takes():
    noon = datetime(2026, 8, 1, 12, tzinfo=UTC)
    assert date_text(ticks(noon)) == "2026-08-01T12:00:00+00:00"
    assert date_text(ticks(noon, 10)) == "2026-08-01T12:00:00.000001+00:00"
    assert date_text(ticks(noon, 1)) == "2026-08-01T12:00:00.0000001+00:00"
    assert date_text(ticks(noon, 9_999_999)) == "2026-08-01T12:00:00.9999999+00:00"


def test_the_ends():
    first, last = "0001-01-01T00:00:00+00:00", "9999-12-31T23:59:59+00:00"
    assert [date_text(n) for n in (0, -(2**63), 2**63 - 1)] == [first, first, last]
    assert date_text(ticks(datetime(1, 1, 1, tzinfo=UTC), -1)) == first
    assert date_text(ticks(datetime(1, 1, 1, tzinfo=UTC), 1)) == "0001-01-01T00:00:00.0000001+00:00"
    assert date_text(ticks(datetime(9999, 12, 31, 23, 59, 58, tzinfo=UTC), 1)) == "9999-12-31T23:59:58.0000001+00:00"
    assert date_text(ticks(datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC), 1)) == last
    assert date_text(1) == "1601-01-01T00:00:00.0000001+00:00"


@given(st.datetimes(timezones=st.just(UTC), max_value=datetime(9999, 12, 31, 23, 59, 58)), st.integers(0, 9))
def test_no_tick_is_lost(time, more):
    if (count := ticks(time, more)) == 0:
        return
    text = date_text(count)
    whole, _, rest = text.removesuffix("+00:00").partition(".")
    again = ticks(datetime.fromisoformat(whole).replace(tzinfo=UTC)) + int(rest.ljust(7, "0"))
    assert again == count
