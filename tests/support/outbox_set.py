"""Outboxes of several sinks with everything around them."""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gateway.core.events.event import Event
from gateway.core.messages import Message
from gateway.encoding.merge_windows import merge_windows
from gateway.encoding.streams import stream_of
from gateway.outbox.fan_out import Branch, FanOut
from gateway.outbox.outbox import Outbox
from gateway.outbox.outbox_set import OutboxSet
from gateway.outbox.records import PreviousBoot
from gateway.outbox.sink_changes import SinkChanges
from gateway.outbox.sink_files import SinkName, assign, read_files
from tests.support.clock import ManualClock
from tests.support.network import until
from tests.support.outbox_parts import NOW_NS, Losses, settings


class SetRig:
    """A set of outboxes, run like `Rig` runs one."""

    def __init__(
        self,
        path: Path,
        sinks: Sequence[SinkName | str],
        boot: str = "b1",
        *,
        clock: Any = None,
        streams: Mapping[str, frozenset[str]] | None = None,
        **changes: Any,
    ) -> None:
        names = [one if isinstance(one, SinkName) else SinkName(one) for one in sinks]
        wanted = {one.name: (streams or {}).get(one.name, frozenset[str]()) for one in names}
        self.clock = clock or ManualClock(NOW_NS)
        self.events: list[Event] = []
        self.unclean: list[PreviousBoot] = []
        self.losses = {one.name: Losses(boot) for one in names}
        self.files = assign(path, read_files(path, "mqtt"), names)

        def outbox(file: Path, losses: Losses) -> Outbox:
            config = settings(file, **changes)
            return Outbox(config, boot, self.clock, losses, Losses.read, merge_windows, self.events.append)

        self.of = {one.name: outbox(self.files.paths[one.name], self.losses[one.name]) for one in names}
        owned = (self.of[name] for name, file in self.files.paths.items() if file == path)
        first = next(owned, None) or outbox(path, Losses(boot))
        queue = FanOut([Branch(self.of[one.name], wanted[one.name]) for one in names], stream_of)

        def wants(name: str, topic: str) -> bool:
            return not wanted[name] or stream_of(topic) in wanted[name]

        changed = SinkChanges(path, "", self.files, wants, self.events.append, self.clock)
        self.outbox = OutboxSet(first, self.of, queue, changed)
        self.first = first
        self._run: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "SetRig":
        await self.outbox.open()
        self.outbox.follow_previous(self.unclean.append)
        self._run = asyncio.create_task(self.outbox.run(), name="outboxes")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stop()
        await self.outbox.close()

    async def _stop(self) -> None:
        if self._run is not None:
            task, self._run = self._run, None
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def advance(self, seconds: float) -> None:
        """Move the clock on, waiting at each step until every commit loop sleeps again."""
        loops = len({id(one) for one in (self.first, *self.of.values())})
        await self.clock.advance(
            seconds, lambda: until(lambda: len(self.clock.waits_s) >= loops, what="the commit loops sleep")
        )

    async def commit(self) -> None:
        """Move on by a commit interval."""
        await self.advance(1.0)

    def rows(self, name: str) -> int:
        """Rows in the file of a sink."""
        return sum(self.of[name]._writer.store.totals.messages.values())

    async def drain(self, name: str) -> list[Message]:
        """Take and acknowledge everything that waits for a sink; messages in the order of delivery."""
        got: list[Message] = []
        while self.of[name].stats.messages:
            for delivery in await asyncio.wait_for(self.of[name].fetch(100), 10):
                got.append(delivery.message)
                self.of[name].ack(delivery)
        return got
