"""How the last reload ended, in a file beside the outbox, for `gateway reload`."""

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import orjson
import structlog

from gateway.core.bounded_file import read_bounded
from gateway.core.os_errors import os_reason
from gateway.core.private_files import write_private

log = structlog.get_logger("app")

_SUFFIX: Final = ".reload"
_MOST_BYTES: Final = 2**20


def record_file(outbox: Path) -> Path:
    """Return the file beside an outbox."""
    return outbox.with_name(outbox.name + _SUFFIX)


class ReloadRecord:
    """The file of one gateway. A disk that does not take it costs only the answer to `gateway reload`."""

    def __init__(self, outbox: Path) -> None:
        self._path = record_file(outbox)
        self._number = 0

    async def begin(self, config: str) -> None:
        """Record that a run has begun."""
        await self._put({"result": "started", "config": config, "changes": [], "problem": None})

    async def write(self, result: Mapping[str, Any]) -> None:
        """Record the result of a reload."""
        self._number += 1
        await self._put(result)

    async def _put(self, result: Mapping[str, Any]) -> None:
        content = orjson.dumps({"pid": os.getpid(), "number": self._number, **result})
        try:
            await asyncio.to_thread(write_private, self._path, content)
        except OSError as error:
            log.debug("result of the reload is not kept", file=str(self._path), reason=os_reason(error))


def read_record(outbox: Path) -> dict[str, Any]:
    """Return what the gateway has recorded last, empty where there is nothing that can be read."""
    try:
        found = orjson.loads(read_bounded(record_file(outbox), _MOST_BYTES))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
