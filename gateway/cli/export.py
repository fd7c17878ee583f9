"""`gateway export`: history files as CSV or Parquet, whether their gateway runs or not."""

import csv
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import IO, Any, Final, Literal, Protocol

import numpy as np

from gateway.cli.output import Output, describe_error, progress_bars, say
from gateway.cli.parquet import Columns, ParquetFile
from gateway.cli.problems import EXIT_CONFIG, print_problems
from gateway.core.errors import ConfigError, UsageError
from gateway.core.nearest import nearest
from gateway.core.plural import counted
from gateway.core.quality import CLASS_NAMES, GOOD_FROM, REASONS
from gateway.core.time_text import TIME_EXAMPLE, parse_time_ns
from gateway.live.history.chunks import rows_of
from gateway.live.history.columns import SAMPLES, SPANS, Damaged, HistoryColumns
from gateway.live.history.files import FoundFrame, HistoryFiles, Kind
from gateway.live.history.segments import SeriesName
from gateway.settings import load

EXIT_DAMAGED: Final = 1
Format = Literal["csv", "parquet"]
_S_NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """What is to be exported."""

    begin: str
    """The first time, as people write it."""
    end: str
    """The time before which rows end; empty for now."""
    tags: Sequence[str]
    """Patterns of `device/tag`; none for all."""
    kind: Kind
    """Which rows."""
    format: Format
    """How the target is written."""


class _Rows(Protocol):
    def write(self, columns: Columns) -> None: ...


def export(config: Path, folder: Path | None, target: str, request: ExportRequest) -> int:
    """Write history to a new file, `-` for standard output. Returns the exit code.

    folder: of the history files; None for that of the configuration.
    """
    try:
        begin, end = _time_ns(request.begin, "--from"), _time_ns(request.end, "--to") if request.end else time.time_ns()
        if end <= begin:
            raise UsageError(f"--to is not after --from: expected {request.begin} to be earlier")
        files = HistoryFiles(folder or _configured(config))
        files.open(is_writer=False)
        names = _chosen(files.names(), request.tags)
        with _target(target, request.format) as rows:
            count, damaged = _write(files, rows, request.kind, names, begin, end)
    except ConfigError as error:
        print_problems(error, config)
        return EXIT_CONFIG
    except FileExistsError:
        say(f"{target} is there already: name a new file", err=True)
        return EXIT_CONFIG
    except (UsageError, OSError) as error:
        say(describe_error(error), err=True)
        return EXIT_CONFIG
    oldest = files.begin(request.kind)
    if oldest is None or oldest > begin:
        since = "there are none" if oldest is None else f"the oldest are of {_text(oldest)}"
        say(f"not all of the time is in the files: {since}", err=True)
    for damage in files.damage:
        say(f"left out, damaged: {damage}", err=True)
    say(f"{counted(count, 'row')} of {counted(len(names), 'tag')} exported", err=True)
    return EXIT_DAMAGED if damaged or files.damage else 0


def _configured(config: Path) -> Path:
    """Return the folder of the history files of a configuration. Raises ConfigError, UsageError."""
    history = load(config).root.history.files
    if not history.enabled and not history.path.is_dir():
        raise UsageError("no history is written: set history.files.enabled in gateway.yaml, or name a folder with --files")
    return history.path


def _time_ns(text: str, option: str) -> int:
    """Return a time that somebody has written: ISO 8601 (UTC without an offset), or so long ago. Raises UsageError."""
    try:
        return parse_time_ns(text, time.time_ns())
    except ValueError:
        raise UsageError(f"{option}: {text!r} is not understood; expected {TIME_EXAMPLE}") from None


def _chosen(names: set[SeriesName], patterns: Sequence[str]) -> set[SeriesName]:
    """Return the tags that a pattern names. Raises UsageError for one that names none."""
    if not patterns:
        return names
    labels = {f"{device}/{tag}": (device, tag) for device, tag in names}
    chosen: set[SeriesName] = set()
    for pattern in patterns:
        found = {labels[label] for label in labels if fnmatchcase(label, pattern)}
        if not found:
            meant = nearest(pattern, sorted(labels))
            raise UsageError(
                f"--tags: no tag in the files is called {pattern!r}"
                + (f"; did you mean {meant}?" if meant else "; expected device/tag, with * for any text")
            )
        chosen |= found
    return chosen


@contextmanager
def _target(target: str, format_: Format) -> Iterator[_Rows]:
    """Open what rows are written to. Raises FileExistsError, UsageError, OSError."""
    if format_ == "parquet":
        if target == "-":
            raise UsageError("Parquet cannot be written to standard output: name a new file")
        with ParquetFile(Path(target)) as file:
            yield file
    elif target == "-":
        yield _Csv(sys.stdout)
    else:
        with Path(target).open("x", encoding="utf-8", newline="") as text:
            yield _Csv(text)


class _Csv:
    """Rows as CSV (RFC 4180) with a heading; times in ISO 8601 with milliseconds, UTC."""

    def __init__(self, file: IO[str]) -> None:
        self._writer = csv.writer(file)
        self._is_headed = False

    def write(self, columns: Columns) -> None:
        if not self._is_headed:
            self._writer.writerow(columns)
            self._is_headed = True
        texts: list[Sequence[Any]] = []
        for name, column in columns.items():
            if not isinstance(column, np.ndarray):
                texts.append(column)
            elif name == "time":
                stamps = np.datetime_as_string(column.astype("datetime64[ns]"), unit="ms")
                texts.append([f"{one}Z" for one in stamps.tolist()])
            else:
                missing = np.isnan(column).tolist()
                texts.append(["" if is_missing else one for one, is_missing in zip(column.tolist(), missing, strict=True)])
        self._writer.writerows(zip(*texts, strict=True))


def _write(files: HistoryFiles, rows: _Rows, kind: Kind, names: set[SeriesName], begin: int, end: int) -> tuple[int, int]:
    """Write the rows, with a bar on a terminal; return how many there were, and how many blocks were damaged."""
    count = damaged = 0
    columns = SAMPLES if kind == "samples" else SPANS
    console = Output(stderr=True)
    with progress_bars(console) as progress:
        task = progress.add_task("export", total=files.count(kind, names, begin, end))
        for frame in files.find(kind, names, begin, end):
            progress.advance(task)
            try:
                found = rows_of(frame.data, columns, frame.series, begin, end)
            except Damaged as error:
                damaged += 1
                files.damage.append(str(error))
                continue
            if len(found):
                count += len(found)
                rows.write(_named(frame, found))
    return count, damaged


def _named(frame: FoundFrame, found: HistoryColumns) -> Columns:
    names = [frame.names[one] for one in found.series.tolist()]
    quality = found.quality.tolist()
    values = {name: column.astype(np.int64) if name == "count" else column for name, column in found.values.items()}
    return {
        "time": found.time,
        "device": [device for device, _ in names],
        "tag": [tag for _, tag in names],
        **values,
        "quality": [CLASS_NAMES[code >> 6] for code in quality],
        "reason": ["" if code >= GOOD_FROM else REASONS[code] for code in quality],
    }


def _text(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns // _S_NS, UTC).isoformat().replace("+00:00", "Z")
