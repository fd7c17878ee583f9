"""Which runs published windows that replace others: theirs are not merged, whatever `window.late` says by now."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import orjson
import structlog

from gateway.core.bounded_file import read_bounded
from gateway.core.messages import Message
from gateway.core.os_errors import os_reason
from gateway.core.private_files import write_private

log = structlog.get_logger("app")

Merge = Callable[[Sequence[Message]], Sequence[Message]]

_SUFFIX: Final = ".replaced"
_MOST_BYTES: Final = 2**20
_MOST_RUNS: Final = 10_000


def merge_of(outbox: Path, boot: str, merge: Merge, *, replaces: bool) -> Merge | None:
    """Return how old windows in an outbox are merged, None for not at all. Reads or writes a small file beside it.

    replaces: this run publishes whole windows again that replace earlier ones (`window.late: replace`). Merged into a longer
    window, what is replaced would count twice: so such a run is remembered, and its windows are never merged. Where the file
    cannot be read, those of no earlier run are.
    """
    file = outbox.with_name(outbox.name + _SUFFIX)
    known = _read(file)
    if replaces:
        _write(file, [*(known or []), boot][-_MOST_RUNS:])
        return None
    if known == []:
        return merge

    def merged(messages: Sequence[Message]) -> Sequence[Message]:
        whose = messages[0].boot if messages else boot
        return [] if (whose != boot if known is None else whose in known) else merge(messages)

    return merged


def _read(file: Path) -> list[str] | None:
    """Return the runs, none where there is no file; None where that is not known."""
    try:
        found = orjson.loads(read_bounded(file, _MOST_BYTES))
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        log.warning("windows of earlier runs are not merged", file=str(file), reason=str(error))
        return None
    return [str(boot) for boot in found] if isinstance(found, list) else None


def _write(file: Path, runs: Sequence[str]) -> None:
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(file, orjson.dumps(runs))
    except OSError as error:
        hint = "let the outbox empty itself before window.late becomes merge again"
        log.warning("that this run replaces windows is not kept", file=str(file), reason=os_reason(error), hint=hint)
