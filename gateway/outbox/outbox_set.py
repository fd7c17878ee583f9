"""The outboxes of several sinks: opened, run and closed together."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from gateway.core.messages import Message
from gateway.core.ports.outbox import MessageQueue
from gateway.core.ports.watermarks import Watermarks
from gateway.outbox.outbox import Outbox
from gateway.outbox.records import PreviousBoot, Stats
from gateway.outbox.sink_changes import SinkChanges

_FIRST: Final = ""


class OutboxSet:
    """One outbox for each sink. Their files have nothing in common, so a fault of one costs no other.

    The first file has the watermarks of the sources, whether a sink has it or not: messages and watermarks are written
    together there. It is opened first and closed last.
    """

    def __init__(self, first: Outbox, of_sinks: Mapping[str, Outbox], queue: MessageQueue, changes: SinkChanges) -> None:
        """Open nothing yet. first: the outbox of the first file. of_sinks: by name, `first` among them where a sink has it.

        queue: hands messages to those that want them. changes: what is done about sinks that come and go.
        """
        self._first, self._of_sinks, self._queue, self._changes = first, of_sinks, queue, changes
        self._others = {name: outbox for name, outbox in of_sinks.items() if outbox is not first}
        self._is_owned = len(self._others) < len(of_sinks)

    @property
    def _all(self) -> list[Outbox]:
        return [self._first, *self._others.values()]

    @property
    def beat(self) -> float:
        """Return the monotonic time of the last turn of the slowest commit loop, seconds."""
        return min(outbox.beat for outbox in self._all)

    @property
    def watermarks(self) -> Watermarks:
        """Return what sources remember of what they handed on, kept in the first file."""
        return self._first.watermarks

    @property
    def unsaved(self) -> int:
        """Return how many messages were neither delivered nor written at `close`, over all sinks."""
        return sum(outbox.unsaved for outbox in self._all)

    @property
    def stats(self) -> Stats:
        """Return the numbers of all sinks together; a message that two of them wait for counts twice."""
        found = [outbox.stats for outbox in self._of_sinks.values()]
        files = found if self._is_owned else [self._first.stats, *found]
        refused = next((f"{name}: {own.refused}" for name, own in self.of_sinks().items() if own.refused), "")
        since = [own.memory_since_ms for own in files if own.refused]
        return Stats(
            messages=sum(own.messages for own in found),
            memory_bytes=sum(own.memory_bytes for own in found),
            disk_bytes=sum(own.disk_bytes for own in files),
            lost=sum(own.lost for own in found),
            thinned=sum(own.thinned for own in found),
            refused=refused or ("" if self._is_owned else self._first.stats.refused),
            memory_since_ms=min(since, default=0),
            stored=sum((Counter(own.stored) for own in found), Counter[int]()),
        )

    def of_sinks(self) -> Mapping[str, Stats]:
        """Return the numbers of each sink."""
        return {name: outbox.stats for name, outbox in self._of_sinks.items()}

    def follow_health(self, on_changed: Callable[[], None]) -> None:
        """Have `on_changed` called when a disk begins or ceases to refuse."""
        for outbox in self._all:
            outbox.follow_health(on_changed)

    def follow_previous(self, report: Callable[[PreviousBoot], None]) -> None:
        """Have every earlier boot reported once that ended without `close`, as far as any of the files knows."""
        known: dict[str, PreviousBoot] = {}
        for outbox in self._all:
            for run in outbox.unclean:
                known[run.boot] = _worse(known.get(run.boot), run)
        reported: set[str] = set()

        def once(run: PreviousBoot) -> None:
            if run.boot not in reported:
                reported.add(run.boot)
                report(known.get(run.boot, run))

        for outbox in self._all:
            outbox.follow_previous(once)

    async def open(self) -> None:
        """Take the locks and open all files. Raises ConfigError as `Outbox.open`; then none is open."""
        await self._first.open()  # with its lock nobody else touches the others
        opened = [self._first]
        is_complete = False
        try:
            await self._changes.begin()
            for outbox in self._others.values():
                await outbox.open()
                opened.append(outbox)
            await self._changes.opened(self._of_sinks)
            is_complete = True
        finally:
            if not is_complete:
                for outbox in reversed(opened):
                    await outbox.close(clean=False)

    async def run(self) -> None:
        """Commit, for ever, each file by itself; free what removed sinks have left. Raises as `Outbox.run`."""
        async with asyncio.TaskGroup() as tasks:
            for name, outbox in {_FIRST: self._first, **self._others}.items():
                tasks.create_task(outbox.run(), name=f"outbox {name}".strip())
            leftover = None if self._is_owned else self._first
            tasks.create_task(self._changes.run(leftover, list(self._of_sinks.values())), name="outbox: sinks")

    async def close(self, *, clean: bool = True) -> None:
        """Commit all that is not delivered and release the files, the watermarks last. Never raises."""
        await asyncio.gather(*(outbox.close(clean=clean) for outbox in self._others.values()))
        await self._first.close(clean=clean)

    def put(self, message: Message) -> None:
        """Take over a message for every sink that wants its stream."""
        self._queue.put(message)


def _worse(known: PreviousBoot | None, run: PreviousBoot) -> PreviousBoot:
    """Return what is known of a run from two files: the longer time in memory only, or that it is not known."""
    if known is None or run.memory_ms is None:
        return run
    return known if known.memory_ms is None else replace(run, memory_ms=max(known.memory_ms, run.memory_ms))
