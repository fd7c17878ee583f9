from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.outbox.records import Usage
from gateway.outbox.retention import WAL_RESERVE_BYTES, age_period_ns, footprint, shortage, surplus, too_old_ms
from tests.support.outbox_parts import NOW_NS, settings

MIB = 2**20
PLENTY = 10**12


def config(**changes):
    return settings(Path("x"), max_bytes="64MiB", keep_free="100MiB", **changes)


@given(st.integers(0, 10 * MIB))
def test_a_footprint_is_at_least_the_payload_and_at_most_two_pages_more_than_twice(size):
    assert size < footprint(size) <= 2 * size + 2 * 4096


def test_nothing_is_short_below_the_ceiling():
    room = 64 * MIB - WAL_RESERVE_BYTES
    assert shortage(config(), Usage(room - MIB, room - MIB, 0, PLENTY), MIB) == (0, "")


def test_above_max_bytes_a_sixteenth_goes_too():
    room = 64 * MIB - WAL_RESERVE_BYTES
    assert shortage(config(), Usage(room, room, 0, PLENTY), MIB) == (MIB, "max_bytes")
    assert surplus(config(), Usage(room, room, 0, PLENTY)) == (room - room * 15 // 16, "max_bytes")
    assert surplus(config(), Usage(room * 15 // 16, room, 0, PLENTY)) == (0, "")


def test_a_log_beyond_its_reserve_counts():
    used = 50 * MIB
    assert shortage(config(), Usage(used, used, 20 * MIB, PLENTY), MIB)[1] == "max_bytes"


def test_a_full_disk_lets_the_file_be_reused_but_not_grow():
    used, file = 10 * MIB, 20 * MIB
    assert shortage(config(), Usage(used, file, 8 * MIB, 50 * MIB), 9 * MIB) == (0, "")
    assert shortage(config(), Usage(used, file, 8 * MIB, 50 * MIB), 11 * MIB) == (MIB, "disk_free")


@pytest.mark.parametrize(("age", "period_s"), [("1min", 1), ("1d", 1350), ("7d", 3600)])
def test_too_old_is_what_would_be_too_old_before_the_next_look(age, period_s):
    aged = config(max_age=age)
    assert age_period_ns(aged) == period_s * 10**9
    assert too_old_ms(aged, NOW_NS) == (NOW_NS - aged.max_age) // 10**6 + period_s * 1000
