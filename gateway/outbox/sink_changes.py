"""What is done about sinks that are new, renamed or configured no more, when a gateway starts."""

import asyncio
import errno
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import structlog

from gateway.core.clock import Clock
from gateway.core.errors import ConfigError, GatewayError
from gateway.core.events.delivery import SinkListChanged, SinkListState
from gateway.core.events.event import Event
from gateway.core.os_errors import os_reason
from gateway.outbox.database.inspect import inspection
from gateway.outbox.files import DISK_TROUBLE, own_files
from gateway.outbox.filling import fill
from gateway.outbox.outbox import Outbox
from gateway.outbox.sink_files import Assignment, SinkFiles, index_file, write_files

log = structlog.get_logger("outbox")

_LOOK_S: Final = 0.2
_AGAIN_S: Final = 5.0


class SinkChanges:
    """The changes of one start. Order of use: `begin`, open the files, `opened`, then `run` beside them."""

    def __init__(
        self,
        path: Path,
        key_file: str,
        assignment: Assignment,
        wants: Callable[[str, str], bool],
        report: Callable[[Event], None],
        clock: Clock,
    ) -> None:
        """path: the first file. key_file: as `outbox.key_file`. wants: by a sink's name and the topic of a message.

        report: publishes events, once the gateway runs.
        """
        self._path, self._key_file, self._wants, self._report, self._clock = path, key_file, wants, report, clock
        self._assignment, self._known = assignment, assignment.known
        self._is_written = assignment.is_known
        self._events: list[SinkListChanged] = []

    async def begin(self) -> None:
        """Write which file is whose, once the first one is locked; a file that was not filled to its end begins anew.

        A disk that does not take it is tried again in `run`. Raises ConfigError where it never will.
        """
        for name in self._known.filling - self._assignment.added:
            await self._deleted(self._assignment.paths[name])
        await self._write(self._known)

    async def opened(self, outboxes: Mapping[str, Outbox]) -> None:
        """Give new sinks the backlog that they begin with."""
        for name, was in self._assignment.renamed.items():
            self._events.append(self._event("renamed", name, was=was))
        for name in sorted(self._assignment.added | self._known.filling):
            count = await self._filled(name, outboxes) if name in self._known.filling else 0
            if count or self._assignment.removed or len(self._known.files) > len(self._assignment.added):
                self._events.append(self._event("added", name, messages=count))

    async def run(self, leftover: Outbox | None, outboxes: Sequence[Outbox]) -> None:
        """Report the changes, then free the files of sinks that are no more, once the record of that is safe.

        leftover: the first outbox, where no sink has it. outboxes: those that the record goes to.
        """
        for event in self._events:
            self._report(event)
        while not self._is_written:
            await self._clock.sleep(_AGAIN_S)
            await self._write(self._known)
        for name, path in self._assignment.removed.items():
            count = await asyncio.to_thread(_count, path, self._key_file) if path != self._path else None
            if path == self._path and leftover is not None:
                count = leftover.stats.messages
            self._report(self._event("removed", name, messages=count))
            since = self._clock.monotonic()
            while not all(outbox.is_safe(since) for outbox in outboxes):
                await self._clock.sleep(_LOOK_S)
            if leftover is not None and path == self._path:
                await leftover.discard()
            elif path != self._path:
                await self._deleted(path)
            await self._write(self._known.without(name))

    async def _filled(self, name: str, outboxes: Mapping[str, Outbox]) -> int:
        """Copy to a new sink what waits for the one that has most waiting. Returns how many messages."""
        others = {other: outbox.stats.messages for other, outbox in outboxes.items() if other not in self._known.filling}
        donor = max(others, key=lambda other: others[other], default=None)
        count = 0
        if donor is not None and others[donor]:
            path = self._assignment.paths[donor]
            try:
                count = await fill(outboxes[name], path, self._key_file, lambda topic: self._wants(name, topic))
            except GatewayError as error:
                log.error("a new sink begins without backlog", sink=name, reason=str(error))
        await self._write(self._known.filled(name))
        return count

    async def _write(self, known: SinkFiles) -> None:
        if known == self._known and self._is_written:
            return
        self._known, self._is_written = known, False
        try:
            await asyncio.to_thread(write_files, self._path, known)
            self._is_written = True
        except OSError as error:
            if error.errno not in (*DISK_TROUBLE, errno.EROFS):
                raise ConfigError(f"outbox.path: cannot write {index_file(self._path)}: {os_reason(error)}") from error
            log.warning("which file is whose is not written", file=str(index_file(self._path)), reason=os_reason(error))

    async def _deleted(self, path: Path) -> None:
        try:
            await asyncio.to_thread(_delete, path)
        except OSError as error:
            log.warning("a removed sink's file stays", file=str(path), reason=os_reason(error))

    def _event(self, state: SinkListState, sink: str, **fields: Any) -> SinkListChanged:
        return SinkListChanged(time_ns=self._clock.now_ns(), state=state, sink=sink, **fields)


def _delete(path: Path) -> None:
    """Delete a file and what lies beside it. Raises OSError."""
    for one in own_files(path):
        one.unlink(missing_ok=True)


def _count(path: Path, key_file: str) -> int | None:
    """Return how many messages a file has, None where that cannot be known."""
    if not path.exists():
        return 0
    try:
        with inspection(path, key_file) as stored:
            return sum(count for count, _ in stored.totals().values())
    except GatewayError:
        return None
