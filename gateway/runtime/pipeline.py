"""Where samples meet time: feeds the stages, closes windows, hands messages to the outbox."""

from collections.abc import Sequence
from typing import Any, Protocol

from gateway.core.blocks import ObjectBlock, SampleBlock, TagIds, WindowBlock
from gateway.core.clock import Clock
from gateway.core.events.device import DeviceStateChanged
from gateway.core.events.event import Event
from gateway.core.events.gateway import ClockJump, Stall
from gateway.core.messages import DeviceState, Message
from gateway.core.ports.outbox import MessageQueue
from gateway.core.quality import Quality
from gateway.core.tags import TagTable
from gateway.runtime.event_log import EventLog
from gateway.runtime.status import StatusBoard

_JUMP_NS = 500_000_000
_LONGEST_SLEEP_S = 1.0
_STALL_S = 3.0


class _Closed(Protocol):
    """What the end of windows brought."""

    windows: list[WindowBlock]
    summaries: list[WindowBlock]
    events: list[Event]
    objects: list[ObjectBlock]


class Stages(Protocol):
    """The stages as the pipeline sees them: pure, told the time."""

    @property
    def next_close_ns(self) -> int: ...
    def feed(self, block: SampleBlock, now_ns: int) -> list[Event]: ...
    def feed_objects(self, block: ObjectBlock, now_ns: int) -> ObjectBlock: ...
    def mark(self, tags: TagIds, quality: int, now_ns: int) -> ObjectBlock: ...
    def close(self, now_ns: int) -> Any: ...
    def flush(self, now_ns: int) -> Any: ...


class Encoding(Protocol):
    """The encoder as the pipeline sees it."""

    def windows(self, block: WindowBlock) -> Sequence[Message]: ...
    def summaries(self, block: WindowBlock) -> Sequence[Message]: ...
    def objects(self, block: ObjectBlock) -> Sequence[Message]: ...
    def event(self, event: Event) -> Message: ...


class Pipeline:
    """Implements `Intake`. Everything here runs on the event loop and returns at once; nothing is queued.

    beat: monotonic time of the last turn of its loop.
    """

    def __init__(
        self, stages: Stages, encoder: Encoding, outbox: MessageQueue, board: StatusBoard, table: TagTable, clock: Clock
    ) -> None:
        self._stages = stages
        self._encoder = encoder
        self._outbox = outbox
        self._board = board
        self._table = table
        self._clock = clock
        self.event_log = EventLog(table)
        self._offset_ns = self._wall_minus_monotonic()
        self.beat = clock.monotonic()

    def feed(self, block: SampleBlock) -> None:
        """Take samples; alarms leave at once."""
        for event in self._stages.feed(block, self._clock.now_ns()):
            self.event(event)

    def event(self, event: Event) -> None:
        """Publish an event, log and count it."""
        self.event_log.record(event)
        self._outbox.put(self._encoder.event(event))

    def objects(self, block: ObjectBlock) -> None:
        """Take values that are no numbers; what is new leaves at once."""
        self._publish_objects(self._stages.feed_objects(block, self._clock.now_ns()))

    def _publish_objects(self, block: ObjectBlock) -> None:
        for message in self._encoder.objects(block):
            self._outbox.put(message)

    def device_state(self, state: DeviceState) -> bool:
        """Take news of a device: status at once, an event when the state (not only the reason) changes, unknown tags."""
        before = self._board.state_of(state.device)
        changed = self._board.update(state)
        now = self._clock.now_ns()
        if state.state == "down":
            self._publish_objects(self._stages.mark(self._table.ids_of(state.device), Quality.BAD_NOT_CONNECTED, now))
        told = changed and (before.state != state.state or before.reason == "starting")
        if told:
            self.event(DeviceStateChanged(time_ns=now, device=state.device, state=state.state, reason=state.reason))
        return told

    async def run(self) -> None:
        """Close windows when they are due, for ever; notice when the wall clock jumps."""
        while True:
            due_s = (self._stages.next_close_ns - self._clock.now_ns()) / 1e9
            # A wait of 0 would leave no room for anybody else after a stall.
            await self._clock.sleep(min(max(due_s, 0.001), _LONGEST_SLEEP_S))
            stood_s, self.beat = self._clock.monotonic() - self.beat, self._clock.monotonic()
            self._watch_clock()
            if stood_s > _STALL_S:
                self._stalled(stood_s)
            self._publish(self._stages.close(self._clock.now_ns()))

    def _stalled(self, stood_s: float) -> None:
        """The machine or the process stood still: what lies in the gap was not read, and nobody else will say so."""
        self.event(Stall(time_ns=self._clock.now_ns(), for_ms=round(stood_s * 1e3)))

    def flush(self) -> None:
        """Publish the window and the summary in progress: at a stop."""
        self._publish(self._stages.flush(self._clock.now_ns()))

    def _publish(self, closed: _Closed) -> None:
        for event in closed.events:
            self.event(event)
        for changed in closed.objects:
            self._publish_objects(changed)
        for block in closed.windows:
            for message in self._encoder.windows(block):
                self._outbox.put(message)
        for block in closed.summaries:
            for message in self._encoder.summaries(block):
                self._outbox.put(message)

    def _wall_minus_monotonic(self) -> int:
        return self._clock.now_ns() - int(self._clock.monotonic() * 1e9)

    def _watch_clock(self) -> None:
        offset = self._wall_minus_monotonic()
        jump = offset - self._offset_ns
        if abs(jump) < _JUMP_NS:
            # Slewing by NTP is followed silently: no reader could tell it from drift.
            self._offset_ns = offset
            return
        now = self._clock.now_ns()
        self._publish(self._stages.flush(now))
        self._offset_ns = offset
        self.event(ClockJump(time_ns=now, by_ms=jump // 1_000_000))
