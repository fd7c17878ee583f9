"""Readings of the machine: what is missing is absent, and never 0."""

import os
from pathlib import Path

import pytest

from gateway.web import host_disk
from gateway.web.host_clock import clock_state, state_of
from gateway.web.host_links import links


def _interface(sysfs: Path, name: str, state: str, carrier: str = "", *, hardware: bool = True) -> None:
    folder = sysfs / "class" / "net" / name
    (folder / "device" if hardware else folder).mkdir(parents=True)
    (folder / "operstate").write_text(state + "\n")
    if carrier:
        (folder / "carrier").write_text(carrier + "\n")


def test_links_are_those_of_hardware_as_far_as_they_say_so(tmp_path: Path) -> None:
    _interface(tmp_path, "eth0", "up")
    _interface(tmp_path, "eth1", "down")
    _interface(tmp_path, "can0", "unknown", "1")
    _interface(tmp_path, "can1", "unknown")
    _interface(tmp_path, "docker0", "up", hardware=False)
    assert links(tmp_path) == {"eth0": True, "eth1": False, "can0": True}
    assert links(tmp_path / "nothing") == {}


def test_in_a_container_there_is_no_hardware(tmp_path: Path) -> None:
    _interface(tmp_path, "lo", "unknown", "1", hardware=False)
    _interface(tmp_path, "eth0", "up", hardware=False)
    assert links(tmp_path) == {"eth0": True}


@pytest.mark.parametrize(
    ("text", "share"),
    [("0x01 0x03\n", 0.3), ("0x0b 0x01\n", 1.1), ("0x00 0x00\n", None), ("0xff 0x0c\n", None), ("words", None)],
)
def test_wear_is_that_of_the_disk_below_the_partition(tmp_path: Path, text: str, share: float | None) -> None:
    place = tmp_path / "outbox.db"
    device = tmp_path.stat().st_dev
    disk = tmp_path / "sys" / "block" / "mmcblk0"
    (disk / "device").mkdir(parents=True)
    (disk / "device" / "life_time").write_text(text)
    (disk / "mmcblk0p2").mkdir()
    (disk / "mmcblk0p2" / "partition").write_text("2\n")
    links_to = tmp_path / "sys" / "dev" / "block"
    links_to.mkdir(parents=True)
    (links_to / f"{os.major(device)}:{os.minor(device)}").symlink_to(disk / "mmcblk0p2")
    assert host_disk.wear(place, tmp_path / "sys") == share


def test_a_disk_that_says_nothing_has_no_wear(tmp_path: Path) -> None:
    assert host_disk.wear(tmp_path, tmp_path / "sys") is None


def test_the_clock() -> None:
    kept = state_of(0, 0x2001, -2_000_000, 16_000)
    assert kept.is_synchronized
    assert kept.offset_s == pytest.approx(-0.002)
    assert kept.most_error_s == pytest.approx(0.016)
    free = state_of(5, 0x40, 0, 16_000_000)
    assert not free.is_synchronized
    assert free.most_error_s is None
    found = clock_state()  # of this machine: whatever it says, it is not refused
    assert found is None or abs(found.offset_s) < 10
