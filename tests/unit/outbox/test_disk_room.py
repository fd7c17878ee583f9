"""What a small disk keeps is known before anything runs."""

from pathlib import Path

import pytest

from gateway.outbox.config import OutboxConfig
from gateway.outbox.disk_room import bytes_per_hour, disk_usage, shortage_text
from gateway.outbox.records import Usage
from gateway.outbox.retention import ceiling, kept_free

MIB = 2**20
SECOND = 10**9


def config(**keys: object) -> OutboxConfig:
    return OutboxConfig.model_validate({"path": Path("/x/o.db"), **keys})


def empty(disk: int, free: int) -> Usage:
    return Usage(0, 0, 0, free, disk)


@pytest.mark.parametrize(("disk", "left"), [(100 * MIB, 10 * MIB), (2_560 * MIB, 256 * MIB), (100_000 * MIB, 256 * MIB)])
def test_by_default_a_tenth_of_a_small_disk_is_left_to_others(disk: int, left: int) -> None:
    assert kept_free(config(), empty(disk, disk)) == left
    assert kept_free(config(keep_free="256MiB"), empty(disk, disk)) == 256 * MIB, "what is written counts"


def test_a_partition_of_100_mib_has_room() -> None:
    room, cause = ceiling(config(), empty(100 * MIB, 95 * MIB))
    assert (room, cause) == ((95 - 10 - 8) * MIB, "disk_free")


def test_where_there_is_room_for_the_ceiling_nothing_is_said() -> None:
    assert shortage_text(config(), empty(100_000 * MIB, 50_000 * MIB), [100], SECOND) == ""


def test_a_small_disk_says_how_many_hours_it_keeps() -> None:
    text = shortage_text(config(), empty(100 * MIB, 95 * MIB), [100], SECOND)
    hours = 77 * MIB / bytes_per_hour(config(), [100], SECOND)
    assert 4 < hours < 8, "100 tags a second: 4 KiB each"
    assert f"about {hours:.1f} h of all windows" in text
    assert "has room for 77 MiB, not for max_bytes (1024 MiB)" in text
    assert "longer ones are merged, then dropped" in text
    text = shortage_text(config(), empty(100 * MIB, 95 * MIB), [100], SECOND, merges=False)
    assert "longer ones are dropped" in text
    assert "10 MiB of these are left to others (keep_free)" in text


def test_a_full_disk_says_that_nothing_is_kept() -> None:
    text = shortage_text(config(keep_free="256MiB"), empty(300 * MIB, 200 * MIB), [100], SECOND)
    assert "has no room for messages" in text
    assert "nothing survives an outage, a stop or a crash" in text


def test_a_folder_that_is_not_there_yet_is_on_the_disk_of_the_one_above(tmp_path: Path) -> None:
    usage = disk_usage(tmp_path / "a" / "b" / "o.db")
    assert usage is not None
    assert usage.disk >= usage.free > 0
    assert usage.used == 0
