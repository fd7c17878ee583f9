"""What stages have learnt, kept beside the outbox from an orderly stop to the next start."""

import hashlib
import io
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import structlog
from numpy.typing import NDArray

from gateway.core.bounded_file import read_bounded
from gateway.core.events.process import LimitAlarm
from gateway.core.os_errors import os_reason
from gateway.core.ports.detector import LongLived
from gateway.core.private_files import write_private
from gateway.settings import Settings
from gateway.settings.device_parts import device_parts
from gateway.stages.stage_chain import StageChain

log = structlog.get_logger("app")

_SUFFIX: Final = ".state"
_VERSION: Final = 2
_MOST_BYTES: Final = 2**28
_MOST_AGE_NS: Final = 3_600_000_000_000
"""Of what detectors have learnt, but for those that say otherwise: after an hour the process may be another one."""
_LEARNT_SUFFIX: Final = ".learnt"

Columns = Mapping[str, NDArray[Any]]


def state_file(outbox: Path) -> Path:
    """Return the file beside an outbox."""
    return outbox.with_name(outbox.name + _SUFFIX)


def save_state(settings: Settings, stages: StageChain, now_ns: int) -> None:
    """Write which alarms are active, what detectors have learnt, and which windows were begun. Blocks.

    Each row is kept with a hash of its tag's name and definition. A disk that does not take it costs only this.
    """
    columns: dict[str, NDArray[Any]] = {"version": np.array([_VERSION]), "saved_ns": np.array([now_ns])}
    columns["windows"], columns["summary"] = stages.begun()
    columns |= _detector_columns(settings, stages)
    for key, column in stages.alarms.kept().items():
        columns[f"alarm/{key}"] = column if key != "tag" else _hashes(settings, column.tolist())
    _write(state_file(settings.root.outbox.path), columns)


def learnt_file(outbox: Path) -> Path:
    """Return the file beside an outbox that a start after a crash reads."""
    return outbox.with_name(outbox.name + _LEARNT_SUFFIX)


def learnt_columns(settings: Settings, stages: StageChain, now_ns: int) -> dict[str, NDArray[Any]]:
    """Return a copy of what detectors have learnt, for `write_learnt`. Called where the stages run."""
    return {
        "version": np.array([_VERSION]),
        "saved_ns": np.array([now_ns]),
        **_detector_columns(settings, stages),
    }


def write_learnt(outbox: Path, columns: Columns) -> None:
    """Write what detectors have learnt, for a start after a crash. Blocks. A disk that does not take it costs only this."""
    _write(learnt_file(outbox), columns)


def _detector_columns(settings: Settings, stages: StageChain) -> dict[str, NDArray[Any]]:
    columns: dict[str, NDArray[Any]] = {}
    for number, (name, tags) in enumerate(stages.anomalies.tags.items()):
        columns[f"detector/{number}/name"] = np.array([name])
        columns[f"detector/{number}/tags"] = _hashes(settings, tags.tolist())
        for key, column in stages.anomalies.detectors[name].state().items():
            columns[f"detector/{number}/state/{key}"] = column
    return columns


def _write(path: Path, columns: Columns) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **columns)
    try:
        write_private(path, buffer.getvalue())
    except OSError as error:
        log.warning("what was learnt is not kept", file=str(path), reason=os_reason(error))


def restore_state(settings: Settings, stages: StageChain, now_ns: int) -> list[LimitAlarm]:
    """Take over what the run before has kept, for tags that mean the same, and remove the file. Blocks.

    Returns the alarms that are still active, as they were known at the stop: a new run says them again. After a crash there
    are none, since the file is removed once it is read; then detectors go on from what was written while it ran.
    """
    path = state_file(settings.root.outbox.path)
    try:
        content = read_bounded(path, _MOST_BYTES)
        path.unlink()
    except OSError:
        path = learnt_file(settings.root.outbox.path)
        try:
            content = read_bounded(path, _MOST_BYTES)
        except OSError:
            return []
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            columns = {name: file[name] for name in file.files}
        return _restore(settings, stages, columns, now_ns)
    except (ValueError, KeyError, IndexError, EOFError, TypeError, zipfile.BadZipFile) as error:
        log.warning("what was learnt cannot be read", file=str(path), reason=str(error))
        return []


def _restore(settings: Settings, stages: StageChain, columns: Columns, now_ns: int) -> list[LimitAlarm]:
    saved_ns = int(columns["saved_ns"][0])
    if int(columns["version"][0]) != _VERSION or saved_ns > now_ns:
        return []
    if "windows" in columns:
        stages.resume(columns["windows"], columns["summary"])
    watched = {tag for tags in stages.anomalies.tags.values() for tag in tags.tolist()}
    known = sorted(watched | set(stages.alarms.conditions.tag.tolist()))
    place = dict(zip(_hashes(settings, known).tolist(), known, strict=True))
    _restore_detectors(stages, columns, place, now_ns - saved_ns)
    if "alarm/tag" not in columns:
        return []
    tags = np.array([place.get(one, -1) for one in columns["alarm/tag"].tolist()], np.intp)
    alarms = {key.removeprefix("alarm/"): column for key, column in columns.items() if key.startswith("alarm/")}
    stages.alarms.restore({key: column[tags >= 0] for key, column in (alarms | {"tag": tags}).items()})
    return stages.alarms.announced(saved_ns)


def _restore_detectors(stages: StageChain, columns: Columns, place: Mapping[int, int], age_ns: int) -> None:
    """Restore what was learnt; anomalies begin anew, as a subscriber expects of a new run."""
    for number in range(sum(key.endswith("/name") for key in columns)):
        name = str(columns[f"detector/{number}/name"][0])
        detector = stages.anomalies.detectors.get(name)
        if age_ns > (detector.kept_ns if isinstance(detector, LongLived) else _MOST_AGE_NS):
            continue
        prefix = f"detector/{number}/state/"
        tags = np.array([place.get(one, -1) for one in columns[f"detector/{number}/tags"].tolist()], np.intp)
        state = {key.removeprefix(prefix): column for key, column in columns.items() if key.startswith(prefix)}
        state = {key: np.zeros_like(column) if key == "active" else column for key, column in state.items()}
        there = tags >= 0
        order = np.argsort(tags[there])
        chosen = {key: column[there][order] for key, column in state.items()}
        stages.anomalies.restore(name, chosen, tags[there][order])


def _hashes(settings: Settings, tags: Iterable[int]) -> NDArray[np.uint64]:
    """Return a number for each tag that changes with its name and its definition."""
    parts, table = device_parts(settings), settings.table
    definitions: dict[str, list[tuple[Any, ...]]] = {}
    found = []
    for tag in tags:
        row = table.tags[tag].device
        name, place = table.devices[row], tag - table.range_of(row)[0]
        if name not in definitions:
            definitions[name] = parts[name].definitions()
        text = f"{name}\0{parts[name].entry.config.url}\0{definitions[name][place]!r}"
        found.append(int.from_bytes(hashlib.sha256(text.encode(errors="surrogateescape")).digest()[:8], "big"))
    return np.array(found, np.uint64)
