"""`gateway export`: what the files have, as CSV and Parquet; what people mistype."""

import csv
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from gateway.cli.main import app
from gateway.live.history.chunks import seal
from gateway.live.history.columns import HistoryColumns
from gateway.live.history.config import HistoryFilesConfig
from gateway.live.history.files import HistoryFiles, Kind

S = 10**9
T0 = 1_700_000_000
NAMES = [("press", "oil"), ("press", "speed"), ("line", "speed")]


def write(folder: Path, kind: Kind = "samples", rows: int = 20, start: int = 0) -> None:
    """Rows of three tags, one a second: tag n counts by n + 1; each fifth sample of tag 1 is bad."""
    number = np.repeat(np.arange(3, dtype=np.uint32), rows)
    at = np.tile(np.arange(start, start + rows), 3)
    value = at * (number + 1.0)
    quality = np.where((number == 1) & (at % 5 == 0), 0x30, 0xC0).astype(np.uint8)
    value[quality == 0x30] = np.nan
    count = np.full(3 * rows, 9.0)
    values = {"value": value} if kind == "samples" else {"min": value, "max": value, "mean": value, "count": count}
    files = HistoryFiles(folder)
    files.open()
    config = HistoryFilesConfig(enabled=True, path=folder, keep_free="0B", max_age="36500d")  # type: ignore[arg-type]
    files.add(kind, seal(HistoryColumns(number, (T0 + at) * S, quality, values)), NAMES, config, 0)
    files.close()


Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run the command on the files of the test's folder; returns exit code and standard error."""

    def command(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, ["export", *arguments, "--files", str(tmp_path / "history")])
        assert not isinstance(result.exception, Exception) or isinstance(result.exception, SystemExit), result.exception
        return result.exit_code, result.stderr

    return command


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_csv_has_a_row_for_each_sample_with_its_quality(tmp_path: Path, run: Run) -> None:
    write(tmp_path / "history")
    target = tmp_path / "out.csv"
    code, said = run(str(target), "--from", "2023-11-14T22:13:20", "--to", "2023-11-14T22:13:26Z", "--tags", "press/*")
    assert (code, said) == (0, "12 rows of 2 tags exported\n")
    rows = table(target)
    assert rows[0] == {
        "time": "2023-11-14T22:13:20.000Z", "device": "press", "tag": "oil", "value": "0.0", "quality": "good",
        "reason": "",
    }  # fmt: skip
    assert [row["value"] for row in rows if row["tag"] == "speed"] == ["", "2.0", "4.0", "6.0", "8.0", ""]
    assert next(row["reason"] for row in rows if row["tag"] == "speed") == "timeout"


def test_parquet_has_the_same_rows_typed(tmp_path: Path, run: Run) -> None:
    write(tmp_path / "history", "minutes")
    write(tmp_path / "history", "minutes", start=20)
    target = tmp_path / "out.parquet"
    code, said = run(str(target), "--from", "2023-11-14", "--kind", "minutes", "--format", "parquet")
    assert code == 0, said
    found = pq.read_table(target)
    assert found.num_rows == 120
    assert str(found.schema.field("time").type) == "timestamp[ns, tz=UTC]"
    assert found.column("value" if "value" in found.column_names else "mean").null_count == 8
    assert set(found.column("device").to_pylist()) == {"press", "line"}
    assert set(found.column("count").to_pylist()) == {9}


def test_what_is_not_in_the_files_is_said(tmp_path: Path, run: Run) -> None:
    write(tmp_path / "history")
    code, said = run(str(tmp_path / "o.csv"), "--from", "2023-11-01")
    assert code == 0
    assert "not all of the time is in the files: the oldest are of 2023-11-14T22:13:20Z" in said
    code, said = run(str(tmp_path / "p.csv"), "--from", "2023-11-01", "--kind", "ten_minutes")
    assert "there are none" in said


def test_a_damaged_block_is_left_out_and_said(tmp_path: Path, run: Run) -> None:
    for start in (0, 20):
        write(tmp_path / "history", start=start)
    file = min((tmp_path / "history").iterdir())
    content = bytearray(file.read_bytes())
    content[-20] ^= 0xFF
    file.write_bytes(content)
    code, said = run(str(tmp_path / "o.csv"), "--from", "2023-11-14")
    assert code == 1
    assert "left out, damaged" in said
    assert len(table(tmp_path / "o.csv")) == 60


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--from", "yesterday"), "--from: 'yesterday' is not understood; expected a time such as"),
        (("--from=-2 parsecs",), "is not understood"),
        (("--from", "0001-01-01T00:00:00+14:00"), "is not understood"),
        (("--from=-1h", "--to=-2h"), "--to is not after --from"),
        (
            ("--from", "2023-11-14", "--tags", "press/oli"),
            "called 'press/oli'; did you mean press/oil?",
        ),
        (("--from", "2023-11-14", "--tags", "*xyz*"), "expected device/tag, with * for any text"),
    ],
)
def test_a_mistake_is_a_sentence(tmp_path: Path, run: Run, arguments: tuple[str, ...], expected: str) -> None:
    write(tmp_path / "history")
    code, said = run(str(tmp_path / "o.csv"), *arguments)
    assert code == 2
    assert expected in said


def test_targets_that_cannot_be(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "history")
    (tmp_path / "there").write_text("mine")
    assert run(str(tmp_path / "there"), "--from=-1h") == (2, f"{tmp_path / 'there'} is there already: name a new file\n")
    assert "No such file" in run(str(tmp_path / "no" / "o.csv"), "--from=-1h")[1]
    assert "standard output" in run("-", "--from=-1h", "--format", "parquet")[1]
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    code, said = run(str(tmp_path / "o.parquet"), "--from=-1h", "--format", "parquet")
    assert code == 2
    assert "extra parquet" in said


def test_no_folder_is_a_sentence(tmp_path: Path, run: Run) -> None:
    code, said = run(str(tmp_path / "o.csv"), "--from=-1h")
    assert code == 2
    assert "history: No such file or directory" in said
