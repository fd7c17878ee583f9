"""History files: kills, cut and garbled files, ceilings, links, a disk that refuses."""

import errno
import os
import random
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from gateway.live.history.chunks import rows_of, seal
from gateway.live.history.columns import SAMPLES, Damaged, HistoryColumns
from gateway.live.history.config import HistoryFilesConfig
from gateway.live.history.files import KINDS, HistoryFiles, Kind
from tests.support.history_child import PER_CHUNK, columns_of

NAMES = [("d", "a"), ("d", "b")]
EVER = 2**62


def config_of(folder: Path, **fields: str) -> HistoryFilesConfig:
    fields = {"keep_free": "0B", "max_age": "36500d"} | fields
    return HistoryFilesConfig(enabled=True, path=folder, **fields)  # type: ignore[arg-type]


def opened(folder: Path, *, is_writer: bool = True) -> HistoryFiles:
    files = HistoryFiles(folder)
    files.open(is_writer=is_writer)
    return files


def written(folder: Path, chunks: int = 3, first: int = 0) -> Path:
    """A folder with one file of some chunks; returns the file."""
    files, config = opened(folder), config_of(folder)
    for number in range(first, first + chunks):
        files.add("samples", seal(columns_of(number)), NAMES, config, 0)
    files.close()
    return max(folder.glob("samples-*"))


def found(files: HistoryFiles, tag: str = "a", begin: int = 0, end: int = EVER, kind: Kind = "samples") -> Iterator[float]:
    for frame in files.find(kind, {("d", tag)}, begin, end):
        try:
            part = rows_of(frame.data, SAMPLES, frame.series, begin, end)
        except Damaged as error:
            files.damage.append(str(error))
            continue
        assert {frame.names[one] for one in part.series.tolist()} <= {("d", tag)}
        yield from part.values["value"].tolist()


def test_what_is_written_is_found_by_name_and_time(tmp_path: Path) -> None:
    written(tmp_path)
    written(tmp_path, first=3)
    files = opened(tmp_path)
    assert list(found(files)) == list(range(6 * PER_CHUNK))
    assert list(found(files, "b")) == [2 * n for n in range(6 * PER_CHUNK)]
    assert list(found(files, "b", 60 * 10**9, 63 * 10**9)) == [120, 122, 124]
    assert list(found(files, "unknown")) == []
    assert files.damage == []
    assert files.begin("samples") == 0


def test_a_killed_writer_loses_what_it_was_writing_and_nothing_else(tmp_path: Path) -> None:
    for turn in range(3):
        before = len(list(found(opened(tmp_path)))) if turn else 0
        child = subprocess.Popen(
            [sys.executable, "-m", "tests.support.history_child", str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        durable = -1
        for line in child.stdout:
            durable = int(line)
            if durable >= 5 + turn * 7:
                break
        child.kill()
        rest = child.stdout.read().split()
        child.wait()
        durable = max([durable, *(int(one) for one in rest if one.isdigit())])
        files = opened(tmp_path)
        values = list(found(files))[before:]
        assert values[: (durable + 1) * PER_CHUNK] == list(range((durable + 1) * PER_CHUNK))
        assert len(values) - (durable + 1) * PER_CHUNK in (0, PER_CHUNK)
        assert opened(tmp_path).damage == [], "what was damaged is cut off"


def test_a_file_cut_anywhere_keeps_what_is_before(tmp_path: Path) -> None:
    whole = written(tmp_path / "a").read_bytes()
    lost = set()
    for size in [*range(0, len(whole), 41), len(whole) - 1]:
        folder = tmp_path / f"cut{size}"
        folder.mkdir()
        (folder / "samples-000000000001.gwh").write_bytes(whole[:size])
        files = opened(folder)
        values = list(found(files))
        assert values == list(range(len(values)))
        assert len(values) % PER_CHUNK == 0
        lost.add(3 * PER_CHUNK - len(values))
        if size not in (0,) and values != list(range(3 * PER_CHUNK)):
            assert files.damage or len(values) < 3 * PER_CHUNK
        written(folder, 1, first=9)
        assert list(found(opened(folder)))[-1] == 10 * PER_CHUNK - 1, "new files are written beside it"
    assert lost == {0, PER_CHUNK, 2 * PER_CHUNK, 3 * PER_CHUNK} - {0}


@pytest.mark.parametrize("seed", range(4))
def test_a_garbled_file_never_gives_a_wrong_value(tmp_path: Path, seed: int) -> None:
    """Each byte that is changed costs a frame, a record or the rest of the file; what is given is true."""
    path, dice = written(tmp_path), random.Random(seed)
    whole = path.read_bytes()
    truth = set(range(3 * PER_CHUNK))
    for _ in range(60):
        garbled = bytearray(whole)
        for _ in range(dice.choice((1, 1, 8))):
            garbled[dice.randrange(len(garbled))] = dice.randrange(256)
        path.write_bytes(garbled)
        files = opened(tmp_path, is_writer=False)
        assert set(found(files)) <= truth
        assert set(found(files, "b")) <= {2 * n for n in truth}


@pytest.mark.parametrize("content", [b"", b"\0" * 1000, b"GWHIST1\n" + b"\xf5REC" + b"\xff" * 13, b"GWHIST1\n\xf5REC\0"])
def test_a_file_that_is_none_is_said_and_left(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "samples-000000000007.gwh").write_bytes(content)
    (tmp_path / "notes.txt").write_text("somebody's")
    files = opened(tmp_path)
    assert len(files.damage) == 1
    written(tmp_path, 1)
    has_beginning = content.startswith(b"GW")
    assert (tmp_path / "samples-000000000007.gwh").exists() == has_beginning, "a power cut leaves such; it is said once"
    assert (tmp_path / f"samples-00000000000{8 if has_beginning else 1}.gwh").exists()
    assert (tmp_path / "notes.txt").exists()


def test_files_are_for_their_user_only_and_links_are_not_followed(tmp_path: Path) -> None:
    folder, target = tmp_path / "history", tmp_path / "target"
    file = written(folder)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    target.write_bytes(file.read_bytes())
    file.unlink()
    file.symlink_to(target)
    files = opened(folder)
    assert len(files.damage) == 1
    assert list(found(files)) == []
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(OSError, match="symbolic link") as refused:
        opened(tmp_path / "link")
    assert refused.value.errno == errno.ELOOP


def test_ceilings_remove_the_oldest_files_samples_first(tmp_path: Path) -> None:
    rng, config = np.random.default_rng(1), config_of(tmp_path, max_bytes="16MiB")
    files = opened(tmp_path)
    n = 16_384
    for number in range(200):
        columns = HistoryColumns(
            np.zeros(n, np.uint32), np.full(n, number, np.int64), np.full(n, 192, np.uint8), {"value": rng.normal(0, 1, n)}
        )
        chunk = seal(columns)
        for kind in KINDS:
            files.add(kind, chunk, NAMES, config, 0)
        assert sum(one.stat().st_size for one in tmp_path.iterdir()) <= 16 * 2**20 + 2**17
    begins = [files.begin(kind) or 0 for kind in KINDS]
    assert begins[0] > begins[1] > 0
    assert files.begin("ten_minutes") is not None
    assert sum(1 for one in found(files) if one) > 0


def test_files_that_are_too_old_go(tmp_path: Path) -> None:
    written(tmp_path)
    files = opened(tmp_path)
    now = 10 * 3600 * 10**9
    files.add("samples", seal(columns_of(700)), NAMES, config_of(tmp_path, max_age="1h"), now)
    assert min(found(files)) == 700 * PER_CHUNK
    assert len(list(tmp_path.iterdir())) == 1


def test_a_disk_that_has_no_room_is_an_error_and_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files, config = opened(tmp_path), config_of(tmp_path, keep_free="1GiB")
    for total_mb, free_mb, fits in (
        (100_000, 1_000, False),
        (100_000, 1_100, True),
        (1_000, 190, False),
        (1_000, 210, True),
    ):
        disk = SimpleNamespace(f_frsize=2**20, f_bavail=free_mb, f_blocks=total_mb)
        monkeypatch.setattr("gateway.live.history.files.os.statvfs", lambda _, disk=disk: disk)
        before = len(list(found(files)))
        if fits:
            files.add("samples", seal(columns_of(0)), NAMES, config, 0)
            assert len(list(found(files))) > before
            continue
        with pytest.raises(OSError, match="keep_free") as refused:
            files.add("samples", seal(columns_of(0)), NAMES, config, 0)
        assert refused.value.errno == errno.ENOSPC


def test_a_write_that_is_cut_short_leaves_no_half_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files, config = opened(tmp_path), config_of(tmp_path)
    files.add("samples", seal(columns_of(0)), NAMES, config, 0)
    write, calls = os.write, []

    def half(fd: int, data: bytes) -> int:
        calls.append(len(data))
        if len(calls) > 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(fd, data[: len(data) // 2])

    monkeypatch.setattr("gateway.live.history.segments.os.write", half)
    with pytest.raises(OSError, match="No space"):
        files.add("samples", seal(columns_of(1)), NAMES, config, 0)
    monkeypatch.undo()
    files.add("samples", seal(columns_of(2)), NAMES, config, 0)
    expected = [*range(PER_CHUNK), *range(2 * PER_CHUNK, 3 * PER_CHUNK)]
    assert list(found(files)) == expected
    again = opened(tmp_path)
    assert (list(found(again)), again.damage) == (expected, [])
