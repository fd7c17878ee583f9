"""A source while it runs: its supervisor's task, and the way of its rows to the tag table that runs now."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from gateway.core.blocks import ObjectBlock, Rows, SampleBlock
from gateway.core.clock import Clock
from gateway.core.events.event import Event
from gateway.core.messages import DeviceState
from gateway.core.ports.source import SampleSink, Source
from gateway.core.tag_move import TagMove
from gateway.core.tags import TagTable
from gateway.runtime.supervisor import Supervisor


class MovedSink:
    """A `SampleSink` for a source that was built for an earlier tag table: rows of then become rows of now."""

    def __init__(self, sink: SampleSink, devices: Sequence[int], table: TagTable) -> None:
        """devices: the rows of the source's devices in the table that it was built for."""
        ranges = [table.range_of(device) for device in devices]
        self._sink = sink
        self._first = min((first for first, _ in ranges), default=0)
        self._place: Rows = np.arange(self._first, max((end for _, end in ranges), default=0))
        self._devices = {device: device for device in devices}
        self._is_moved = self._is_ended = False

    @property
    def devices(self) -> Mapping[int, int]:
        """Return the row that each device has now, by the row that the source knows."""
        return self._devices

    def move(self, move: TagMove) -> None:
        """Go over to the next table, in which all devices of this source are."""
        self._place = move.place[self._place]
        self._devices = {own: move.devices[now] for own, now in self._devices.items()}
        self._is_moved = bool(
            (self._place != np.arange(self._first, self._first + self._place.size)).any()
            or any(own != now for own, now in self._devices.items())
        )

    def end(self) -> None:
        """Take nothing any more: the rows mean nothing from now on."""
        self._is_ended = self._is_moved = True

    def push(self, block: SampleBlock) -> None:
        """Take over samples."""
        if self._is_ended:
            return
        self._sink.push(replace(block, tag=self._tags(block)) if self._is_moved else block)

    def push_objects(self, block: ObjectBlock) -> None:
        """Take over values that are no numbers."""
        if self._is_ended:
            return
        self._sink.push_objects(replace(block, tag=self._tags(block)) if self._is_moved else block)

    def report_state(self, state: DeviceState) -> bool:
        """Record a device's state."""
        if self._is_ended:
            return True
        return self._sink.report_state(replace(state, device=self._devices[state.device]) if self._is_moved else state)

    def report(self, event: Event) -> None:
        """Publish an event at once."""
        if self._is_ended:
            return
        if self._is_moved and event.device is not None:
            tag = None if event.tag is None else int(self._place[event.tag - self._first])
            event = replace(event, device=self._devices[event.device], tag=tag)
        self._sink.report(event)

    def _tags(self, block: SampleBlock | ObjectBlock) -> "np.ndarray[tuple[int], np.dtype[np.uint32]]":
        return self._place[block.tag.astype(np.intp) - self._first].astype(np.uint32)


class RunningSource:
    """One source with its supervisor.

    Attributes:
        names: its devices, in the order of its rows.
    """

    def __init__(self, source: Source, table: TagTable, sink: SampleSink, clock: Clock) -> None:
        """table: the one that the source was built for."""
        self.names = [table.devices[device] for device in source.devices]
        self._is_ended = False
        self._source = source
        self._sink = MovedSink(sink, source.devices, table)
        self._supervisor = Supervisor(source, ",".join(self.names), self._sink, clock)
        self._task: asyncio.Task[None] | None = None

    @property
    def devices(self) -> Sequence[int]:
        """Return the present rows of its devices."""
        return list(self._sink.devices.values())

    def stats(self) -> Mapping[int, Mapping[str, float | str]]:
        """Return what was counted and measured, by the present row of the device; nothing once it has ended."""
        if self._is_ended:
            return {}
        return {self._sink.devices[device]: stats for device, stats in self._source.stats().items()}

    def move(self, move: TagMove) -> None:
        """Go over to the next table, in which all its devices are as they were."""
        self._sink.move(move)

    def start(self, tasks: asyncio.TaskGroup) -> None:
        """Connect and read, until `stop`."""
        self._task = tasks.create_task(self._supervisor.run(), name=f"source {','.join(self.names)}")

    @property
    def task(self) -> "asyncio.Task[None] | None":
        """Return what is to be cancelled, None before `start`."""
        return self._task

    def end(self) -> None:
        """Hand nothing on any more, even if the task should not have ended: its rows mean nothing from now on."""
        self._is_ended = True
        self._sink.end()
