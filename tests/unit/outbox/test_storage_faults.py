"""Where store-and-forward cannot work, and that this is said."""

import os
from pathlib import Path

import pytest

from gateway.outbox.disk_room import storage_faults


def mounts(tmp_path: Path, *lines: str) -> Path:
    file = tmp_path / "mounts"
    file.write_text("/dev/sda1 / ext4 rw 0 0\n" + "".join(f"{line}\n" for line in lines))
    return file


def test_a_disk_is_no_fault(tmp_path: Path) -> None:
    assert not storage_faults(tmp_path / "new" / "outbox.db", mounts(tmp_path))


@pytest.mark.parametrize(
    ("kind", "said"), [("tmpfs", "is memory"), ("overlay", "with its container"), ("nfs4", "can be damaged")]
)
def test_a_file_system_that_forgets_is_named(kind: str, said: str, tmp_path: Path) -> None:
    folder = os.path.realpath(tmp_path)
    (fault,) = storage_faults(tmp_path / "outbox.db", mounts(tmp_path, f"none {folder} {kind} rw 0 0"))
    assert f"is on {kind}" in fault
    assert said in fault
    elsewhere = mounts(tmp_path, f"none {folder}x {kind} rw 0 0")
    assert not storage_faults(tmp_path / "outbox.db", elsewhere)


def test_missing_rights_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    (fault,) = storage_faults(tmp_path / "outbox.db", mounts(tmp_path))
    assert fault.startswith(f"this user may not write to {tmp_path}")
